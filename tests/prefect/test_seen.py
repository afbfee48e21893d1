"""What a real Prefect has of a run afterwards: artifacts of the flow run, events, assets."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import get_run_context

from planasonix.errors import RunFailedError
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import PlanasonixBackfill, PlanasonixCredentials
from prefect_planasonix.events import emit, ended_event

CONNECTION = "conn_shop_orders"


@pytest.mark.scenario
@pytest.mark.timeout(300)
def test_a_partly_failed_backfill_is_seen(prefect_server: str, sandbox: RunningSandbox) -> None:
    sandbox.script(CONNECTION, "failed", loaded_tables=["public.orders"])
    credentials = PlanasonixCredentials(
        api_key=sandbox.api_key, base_url=sandbox.url, job_url_template=f"{sandbox.url}/#/{{kind}}s/{{id}}"
    )
    seen: dict[str, Any] = {}

    @flow
    def load() -> None:
        seen["flow_run_id"] = get_run_context().flow_run.id  # type: ignore[union-attr]
        backfill = PlanasonixBackfill(
            credentials=credentials,
            connection_id=CONNECTION,
            start_at=datetime(2026, 1, 1, tzinfo=UTC),
            end_at=datetime(2026, 1, 2, tzinfo=UTC),
            tables=["public.orders", "public.refunds"],
            source_key_template="postgres://shop/{schema}/{table}",
        )
        run = backfill.trigger()
        try:
            run.wait_for_completion()
        except RunFailedError as error:
            seen["outcome"] = error.outcome_data
        # What a reconciler would do beside it: it is the same event, and stays one.
        from planasonix.runs import outcome_from_dict

        emit([ended_event(outcome_from_dict(seen["outcome"]), flow_run_id=seen["flow_run_id"])])

    load()
    job_id = seen["outcome"]["id"]
    name = f"Planasonix backfill {job_id} of connection {CONNECTION}"
    artifacts = _artifacts(seen["flow_run_id"])
    assert artifacts["link"]["data"] == f"[backfill {job_id}]({sandbox.url}/#/backfills/{job_id})"
    assert artifacts["progress"]["type"] == "progress"
    assert all(each["description"].startswith(name) for each in artifacts.values())
    assert "public.refunds" in artifacts["report"]["data"]
    assert '"table": "public.refunds", "status": "failed"' in artifacts["tables"]["data"]
    events = _events(seen["flow_run_id"])
    told = [each["event"] for each in events if each["event"].startswith("planasonix.")]
    assert (told.count("planasonix.job.started"), told.count("planasonix.job.failed")) == (1, 1)
    loaded = {each["name"]: each for each in seen["outcome"]["tables"]}["public.orders"]
    [orders] = [each for each in events if each["resource"]["prefect.resource.id"].endswith("_orders/public/orders")]
    assert orders["event"] == "prefect.asset.materialization.succeeded"
    assert (orders["payload"]["rows_loaded"], orders["payload"]["checksum"]) == (
        loaded["rows_loaded"],
        loaded["checksum"],
    )
    [refunds] = [each for each in events if each["resource"]["prefect.resource.id"].endswith("_orders/public/refunds")]
    assert refunds["event"] == "prefect.asset.materialization.failed"
    assert ("asset", "postgres://shop/public/refunds") in _related(refunds)
    assert ("asset-materialized-by", "planasonix") in _related(refunds)
    assert ("flow-run", f"prefect.flow-run.{seen['flow_run_id']}") in _related(refunds)


def _artifacts(flow_run_id: Any) -> dict[str, dict[str, Any]]:
    with get_client(sync_client=True) as client:
        wanted = {"artifacts": {"flow_run_id": {"any_": [str(flow_run_id)]}, "key": {"like_": "planasonix-%"}}}
        found = client.request("POST", "/artifacts/filter", json=wanted).json()
    shown = {each["key"].split("-")[1]: each for each in found if "-ledger-" not in each["key"]}
    assert len(shown) == len([each for each in found if "-ledger-" not in each["key"]]), "an artifact is there twice"
    return shown


def _events(flow_run_id: Any) -> list[dict[str, Any]]:
    """Prefect sends events from a thread of its own, and the server stores them when it has time."""
    wanted = {
        "filter": {
            "event": {"prefix": ["planasonix.", "prefect.asset.materialization"]},
            "any_resource": {"id": [f"prefect.flow-run.{flow_run_id}"]},
            "order": "ASC",
        },
        "limit": 50,
    }
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            found = client.request("POST", "/events/filter", json=wanted).json()["events"]
            if {"planasonix.job.failed", "prefect.asset.materialization.failed"} <= {each["event"] for each in found}:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.3)


def _related(event: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["prefect.resource.role"], each["prefect.resource.id"]) for each in event["related"]}
