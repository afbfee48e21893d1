"""The example project does what its files say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from scripts.dagster_local import LocalDagster
from scripts.local.sandbox import SandboxProcess

# Whichever test comes first starts Dagster, and waits for all runs.
pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ORDERS = "raw/shop/orders"


def jobs(sandbox: SandboxProcess, connection_id: str) -> list[dict[str, Any]]:
    return sandbox.control("GET", f"jobs?connection_id={connection_id}")["jobs"]


def test_definitions_load_from_files_alone(example: LocalDagster, sandbox: SandboxProcess) -> None:
    assets = example.assets()
    groups = {asset["groupName"] for asset in assets.values()}
    assert groups == {"shop", "crm", "support_tickets", "billing_stripe"}
    assert sorted(assets[ORDERS]["checks"]) == ["planasonix_rows", "planasonix_status", "planasonix_warnings"]
    calls = sandbox.control("GET", "counts")["calls_by_operation"]
    assert calls.get("connections.list", 0) == calls.get("connections.tables", 0) == 0


def test_a_sync_tells_the_selected_tables(
    example: LocalDagster, sandbox: SandboxProcess, loaded: dict[str, str]
) -> None:
    made = {event.asset_key: event for event in example_events(example, loaded["shop"])}
    assert set(made) == {ORDERS, "raw/shop/customers"}
    [job] = jobs(sandbox, "conn_shop_orders")
    rows = {table["name"]: table["rows_loaded"] for table in job["tables"]}
    assert made[ORDERS].metadata["dagster/row_count"] == rows["public.orders"]
    assert made[ORDERS].metadata["planasonix/job_id"] == job["id"]
    assert job["metadata"]["run_id"] == loaded["shop"]
    assert [check.passed for check in example.checks(ORDERS, "planasonix_rows")] == [True]


def test_the_component_syncs_two_connections(
    example: LocalDagster, sandbox: SandboxProcess, loaded: dict[str, str]
) -> None:
    made = {event.asset_key for event in example_events(example, loaded["crm"])}
    assert made == {"raw/crm/account", "raw/crm/companies"}
    assert [len(jobs(sandbox, name)) for name in ("conn_crm_accounts", "conn_hubspot_marketing")] == [1, 1]


def test_two_days_are_two_backfills(example: LocalDagster, sandbox: SandboxProcess, loaded: dict[str, str]) -> None:
    made = example_events(example, loaded["tickets"])
    assert {event.partition for event in made} == {"2026-03-28", "2026-03-29"}
    windows = {(event.metadata["planasonix/window_start"], event.metadata["planasonix/window_end"]) for event in made}
    # On the 29th the clocks of Berlin go forward.
    lengths = sorted(
        (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() / 3600 for start, end in windows
    )
    assert lengths == [23, 24]
    assert len({event.metadata["planasonix/backfill_id"] for event in made}) == 2


def test_the_sensor_completes_a_detached_run(
    example: LocalDagster, sandbox: SandboxProcess, loaded: dict[str, str]
) -> None:
    assert example_events(example, loaded["billing"]) == []
    [job] = jobs(sandbox, "conn_billing_stripe")
    [told] = example.wait_until(
        lambda: example.materializations("billing_stripe/stripe/charges"), "the sensor to tell", 240
    )
    assert told.metadata["planasonix/job_id"] == job["id"]
    assert told.run_id == ""


def test_a_report_follows_by_itself(example: LocalDagster, loaded: dict[str, str]) -> None:
    example.start_sensor("default_automation_condition_sensor")
    # What was materialized before the first look is no news to it: load once more.
    example.wait_until(
        lambda: example.sensor_state("default_automation_condition_sensor")["ticks"], "a look of the automation", 120
    )
    example.wait_run(example.launch_assets(ORDERS), timeout_seconds=240)
    example.wait_until(lambda: example.materializations("orders_report"), "the report", 240)


def test_reconcile_finds_nothing_to_do(example: LocalDagster, loaded: dict[str, str]) -> None:
    run_id = example.launch_job("planasonix_reconcile")
    assert example.wait_run(run_id, timeout_seconds=240) == "SUCCESS", example.run_log(run_id)


def example_events(example: LocalDagster, run_id: str) -> list[Any]:
    return [event for event in example.events(run_id, "ASSET_MATERIALIZATION") if event.asset_key]
