"""A sandbox over HTTP, an instance in memory, and a sensor that is evaluated as the daemon does it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from dagster_planasonix.asset_decorator import multi_asset_of
from dagster_planasonix.asset_defs import op_body
from dagster_planasonix.checks import check_specs
from dagster_planasonix.sensors.polling import build_planasonix_polling_sensor
from dagster_planasonix.specs import ConnectionSpecs
from dagster_planasonix.state import ConnectionState
from dagster_planasonix.targets import target_metadata
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix import Planasonix
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

ORDERS, INVENTORY = "conn_shop_orders", "conn_shop_inventory"
ORDERS_FAILED = {"name": "public.orders", "rows_loaded": 0, "checksum": None, "status": "failed"}
"""What the results of a job say of a table."""

TABLES = {
    ORDERS: ("public.orders", "public.customers"),
    INVENTORY: ("inventory.products",),
    "conn_legacy_mainframe": ("core.policies",),
}


def assets_of(
    workspace: PlanasonixWorkspace,
    connection_id: str = ORDERS,
    *,
    execution: Any = "wait",
    partitions_def: dg.PartitionsDefinition | None = None,
) -> dg.AssetsDefinition:
    """The assets of some of a connection's tables, by their plain names, as the factory makes them."""
    specs = [
        dg.AssetSpec(
            key_of(table),
            metadata=target_metadata(connection_id, connection_id, table),
            partitions_def=partitions_def,
        )
        for table in TABLES[connection_id]
    ]
    checks = [check for table in TABLES[connection_id] for check in check_specs(key_of(table))]
    state = ConnectionState(id=connection_id, name=connection_id, type="postgres")
    made = ConnectionSpecs(state, specs, checks)
    return multi_asset_of(made)(op_body(workspace, execution, None))


def key_of(table: str) -> str:
    return table.split(".")[-1]


class Setting:
    """One Dagster instance beside one tenant."""

    def __init__(self, sandbox: Any, instance: dg.DagsterInstance, **settings: Any) -> None:
        self.sandbox = sandbox
        self.instance = instance
        self.workspace = PlanasonixWorkspace(
            api_key=DEFAULT_API_KEY,
            base_url=sandbox.url,
            job_url_template=sandbox.job_url_template,
            **{"poll_interval_seconds": 0.05} | settings,
        )
        self.client = Planasonix(DEFAULT_API_KEY, base_url=sandbox.url)
        self.cursor: str | None = None
        self.skip_message = ""

    def sensor(self, assets: Sequence[Any], **options: Any) -> dg.SensorDefinition:
        return build_planasonix_polling_sensor(self.workspace, assets, **options)

    def tick(self, sensor: dg.SensorDefinition, *, dies: str = "") -> list[Any]:
        """Evaluate the sensor, and store what it returns in the daemon's order: events, then the cursor.

        `dies`: the daemon ends after the first event (`early`), or after the last one (`late`).
        """
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result: Any = sensor(context)
        events = list(result.asset_events)
        for event in events[:1] if dies == "early" else events:
            self.instance.report_runless_asset_event(event)
        if not dies:
            self.cursor = result.cursor
        self.skip_message = result.skip_reason.skip_message
        return events

    def synced(self, connection_id: str = ORDERS, outcome: str = "succeeded") -> str:
        """A job that somebody else started, and that has ended."""
        self.sandbox.script(connection_id, "stuck")
        job = self.client.connections.sync(connection_id)
        self.sandbox.finish(job.id, outcome)
        return job.id

    def running(self, connection_id: str = ORDERS) -> str:
        self.sandbox.script(connection_id, "stuck")
        return self.client.connections.sync(connection_id).id

    def results_name(self, *tables: dict[str, Any]) -> None:
        """From now on each job's results are these, and name no other table."""
        body = json.dumps({"data": {"status": "succeeded", "warnings": [], "tables": tables}})
        self.sandbox.fault("jobs.results", "error", status=200, body=body, times=None)

    # --- what the event log has -----------------------------------------------------------------------------------

    def materializations(self, table: str) -> list[dg.AssetMaterialization]:
        """Oldest first."""
        found = self.instance.fetch_materializations(dg.AssetKey(key_of(table)), limit=1_000).records
        return [record.asset_materialization for record in reversed(found) if record.asset_materialization]

    def observations(self, table: str) -> list[dg.AssetObservation]:
        found = self.instance.fetch_observations(dg.AssetKey(key_of(table)), limit=1_000).records
        return [record.asset_observation for record in reversed(found) if record.asset_observation]

    def job_ids(self, table: str) -> list[str]:
        return [str(one.metadata["planasonix/job_id"].value) for one in self.materializations(table)]

    def status_check(self, table: str) -> bool | None:
        """Whether the last `planasonix_status` of the table passed; None where there is none."""
        key = dg.AssetCheckKey(dg.AssetKey(key_of(table)), "planasonix_status")
        record = self.instance.get_latest_asset_check_evaluation_record(key)
        event = None if record is None or record.event is None else record.event.dagster_event
        if event is None or event.event_type_value == "ASSET_CHECK_EVALUATION_PLANNED":
            return None
        return event.asset_check_evaluation_data.passed


@contextmanager
def setting_with(settings: dict[str, Any] | None = None, **switches: Any) -> Iterator[Setting]:
    with Sandbox(**switches).serve() as sandbox, dg.DagsterInstance.ephemeral() as instance:
        yield Setting(sandbox, instance, **settings or {})
