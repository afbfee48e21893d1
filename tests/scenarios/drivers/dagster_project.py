"""The Dagster project that holds the scenarios: for each a multi-asset of its connection's tables, and a job for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tests.scenarios.driver import Placed
from tests.scenarios.scenario import Scenario

STEP = "load_"
"""Before the job's name, the name of its op."""

HEAD = """
import dagster as dg
from dagster_planasonix import PlanasonixWorkspace, build_planasonix_polling_sensor
from dagster_planasonix.checks import check_specs
from dagster_planasonix.run_config import PlanasonixRunConfig

assets, detached, jobs = [], [], []


def account(**settings):
    return PlanasonixWorkspace(
        api_key=dg.EnvVar("PLANASONIX_API_KEY"),
        base_url=dg.EnvVar("PLANASONIX_BASE_URL"),
        job_url_template=dg.EnvVar("PLANASONIX_JOB_URL_TEMPLATE"),
        webserver_url=dg.EnvVar("LOCAL_DAGSTER_URL"),
        poll_interval_seconds=0.5,
        **settings,
    )


def scenario(name, connection_id, tables, retries, waits, settings):
    workspace = account(**settings)
    specs = [
        dg.AssetSpec(
            [name, *table.split(".")],
            metadata={"planasonix/connection_id": connection_id, "planasonix/table": table},
        )
        for table in tables
    ]

    @dg.multi_asset(
        name=f"load_{name}",
        specs=specs,
        check_specs=[check for spec in specs for check in check_specs(spec.key)],
        can_subset=True,
        retry_policy=dg.RetryPolicy(max_retries=retries, delay=1) if retries else None,
    )
    def load(context: dg.AssetExecutionContext, config: PlanasonixRunConfig):
        if waits:
            yield from workspace.sync_and_poll(context, config=config)
        else:
            yield from workspace.submit(context)

    assets.append(load)
    if not waits:
        detached.append(load)
    jobs.append(dg.define_asset_job(name, selection=dg.AssetSelection.assets(load)))


"""

TAIL = """

# One for each scenario: several of them load the same tables, into assets of their own.
sensors = [
    build_planasonix_polling_sensor(
        account(),
        [one],
        name=f"tells_{one.op.name}",
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    for one in detached
]
defs = dg.Definitions(assets=assets, jobs=jobs, sensors=sensors)
"""


def job_name(scenario: Scenario, sibling: int) -> str:
    """The name of a scenario's job, of one for each sibling where there are several."""
    name = "".join(letter if letter.isalnum() else "_" for letter in scenario.id)
    return f"{name}_{sibling}" if scenario.wish.siblings > 1 else name


def definitions(placed: Sequence[Placed], tables: Mapping[str, Sequence[str]]) -> str:
    """Python source. tables: of each connection, schema-qualified."""
    lines = [
        f"scenario({job_name(one.scenario, sibling)!r}, {connection!r}, "
        f"{[*tables[connection], *_named(one.scenario)]!r}, "
        f"{one.scenario.wish.retries}, {one.scenario.mode == 'blocking'}, {_settings(one.scenario)!r})"
        for one in placed
        for sibling, connection in enumerate(one.connections)
    ]
    return HEAD + "\n".join(lines) + TAIL


def _named(scenario: Scenario) -> list[str]:
    """The tables that the scenario's own answers name: a table that is nobody's asset fails no step."""
    bodies = [fault.options.get("body") for fault in scenario.faults if fault.operation == "jobs.results"]
    return [table["name"] for body in bodies if body for table in json.loads(body)["data"]["tables"]]


def _settings(scenario: Scenario) -> dict[str, object]:
    wish = scenario.wish
    settings: dict[str, object] = {"cancel_on_termination": wish.cancel_on_kill}
    if wish.timeout_seconds is not None:
        settings["timeout_seconds"] = wish.timeout_seconds
    return settings
