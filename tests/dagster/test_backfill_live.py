"""Backfills and re-executions in a real Dagster; the sandbox's journal is the judge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.dagster_local import LocalDagster
from scripts.dagster_local.project import environment
from scripts.local.sandbox import SandboxProcess

pytestmark = pytest.mark.live

DEFINITIONS = """
import dagster as dg
from dagster_planasonix import PlanasonixWorkspace
from dagster_planasonix.checks import check_specs
from dagster_planasonix.targets import target_metadata

BERLIN = dg.DailyPartitionsDefinition("2026-03-01", timezone="Europe/Berlin")
workspace = PlanasonixWorkspace(
    api_key=dg.EnvVar("PLANASONIX_API_KEY"),
    base_url=dg.EnvVar("PLANASONIX_BASE_URL"),
    job_url_template=dg.EnvVar("PLANASONIX_JOB_URL_TEMPLATE"),
    poll_interval_seconds=0.2,
)

def assets_of(name, tables, **attributes):
    specs = [
        dg.AssetSpec(
            [name, table], metadata=target_metadata("conn_shop_orders", "shop", f"public.{table}"), **attributes
        )
        for table in tables
    ]
    policy = dg.BackfillPolicy.single_run() if attributes else None
    checks = [check for spec in specs for check in check_specs(spec.key)]

    @dg.multi_asset(name=name, specs=specs, check_specs=checks, can_subset=True, backfill_policy=policy)
    def load(context: dg.AssetExecutionContext, planasonix: PlanasonixWorkspace):
        yield from planasonix.sync_and_poll(context)

    return load

@dg.asset(
    deps=[["daily", "orders"]], partitions_def=BERLIN, backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
)
def report(context):
    yield dg.MaterializeResult()

defs = dg.Definitions(
    assets=[
        assets_of("daily", ["orders", "order_items"], partitions_def=BERLIN),
        assets_of("plain", ["orders", "order_items", "refunds"]),
        report,
    ],
    resources={"planasonix": workspace},
)
"""
CONNECTION = "conn_shop_orders"
DAYS = ("2026-03-28", "2026-03-29", "2026-03-30")
WINDOWS = [
    ("2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z"),
    ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
    ("2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"),
]
"""The clocks of Berlin go forward on the 29th: a day of 23 hours."""


def script(sandbox: SandboxProcess, **script: Any) -> None:
    sandbox.control("PUT", "clock/speed", {"speed": 20})
    sandbox.control("PUT", f"connections/{CONNECTION}/script", script)


def started(sandbox: SandboxProcess, operation: str) -> list[dict[str, Any]]:
    """The bodies of the starts that took effect."""
    entries = sandbox.control("GET", f"journal?operation={operation}")["entries"]
    return [entry["body"] for entry in entries if entry["status"] == 202]


def bounds(sandbox: SandboxProcess) -> list[tuple[str, str]]:
    return [(body["start_at"], body["end_at"]) for body in started(sandbox, "connections.backfill")]


@pytest.mark.scenario
def test_the_daemon_counts_a_withheld_table_of_one_day_as_the_only_failure(
    local_dagster: LocalDagster, sandbox_process: SandboxProcess
) -> None:
    loaded = {"tables": {"public.orders": 5, "public.order_items": 7}}
    withheld = {"outcome": "failed", "loaded_tables": ["public.orders"]}
    script(sandbox_process, sequence=[loaded, withheld, loaded])
    backfill_id = local_dagster.backfill(["daily/orders", "daily/order_items", "report"], DAYS)
    state = local_dagster.wait_backfill(backfill_id)
    counts = {key: (each["materialized"], each["failed"]) for key, each in state["assets"].items()}
    assert counts["daily/orders"] == (3, 0)
    assert counts["daily/order_items"] == (2, 1)
    assert bounds(sandbox_process) == WINDOWS
    both = ["public.orders", "public.order_items"]
    assert [body["tables"] for body in started(sandbox_process, "connections.backfill")] == [both] * 3
    made = {each.partition: each.metadata for each in local_dagster.materializations("daily/order_items")}
    assert {day: told["dagster/partition_row_count"] for day, told in made.items()} == {DAYS[0]: 7, DAYS[2]: 7}
    assert len({told["planasonix/backfill_id"] for told in made.values()}) == 2
    [run] = [run for run in local_dagster.runs(dagster_backfill=backfill_id) if run["status"] == "FAILURE"]
    assert "stages failed: 2 done, 1 failed" in local_dagster.run_log(run["runId"])
    [check, *of_days] = local_dagster.checks("daily/order_items", "planasonix_status")
    assert (check.passed, check.description) == (False, "1 of 3 partitions were not loaded.")
    assert sorted(each.passed for each in of_days if each.passed is not None) == [False, True, True]
    assert len(of_days) == 3


def test_from_asset_failure_runs_only_the_table_that_failed(
    local_dagster: LocalDagster, sandbox_process: SandboxProcess
) -> None:
    script(
        sandbox_process,
        sequence=[{"outcome": "failed", "loaded_tables": ["public.orders", "public.order_items"]}, {}],
    )
    first = local_dagster.launch_assets("plain/orders", "plain/order_items", "plain/refunds")
    assert local_dagster.wait_run(first) == "FAILURE"
    second = local_dagster.reexecute(first, "FROM_ASSET_FAILURE")
    assert local_dagster.wait_run(second) == "SUCCESS"
    made = {
        table: [each.run_id for each in local_dagster.materializations(f"plain/{table}")]
        for table in ("orders", "order_items", "refunds")
    }
    assert made == {"orders": [first], "order_items": [first], "refunds": [second]}
    assert len(started(sandbox_process, "connections.sync")) == 2


@pytest.mark.scenario
def test_dg_launch_over_a_range_makes_the_calls_with_exact_bounds(
    local_dagster: LocalDagster, sandbox_process: SandboxProcess
) -> None:
    script(sandbox_process, tables={"public.orders": 5})
    variables = {
        "PLANASONIX_API_KEY": sandbox_process.api_key,
        "PLANASONIX_BASE_URL": sandbox_process.url,
        "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox_process.url}/#/{{kind}}s/{{id}}",
    }
    dg = Path(sys.executable).with_name("dg")
    wanted = ("--assets", "key:daily/orders or key:report", "--partition-range", f"{DAYS[0]}...{DAYS[2]}")
    done = subprocess.run(
        [dg, "launch", *wanted],
        cwd=local_dagster.project,
        env=environment(local_dagster.home, local_dagster.project, variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert bounds(sandbox_process) == WINDOWS
    assert [body["tables"] for body in started(sandbox_process, "connections.backfill")] == [["public.orders"]] * 3
    # All of the range is loaded, so that what is downstream of it runs in the same run.
    [last, *_] = local_dagster.materializations("report")
    assert last.run_id == local_dagster.materializations("daily/orders")[0].run_id
