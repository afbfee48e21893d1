"""The example of events runs: a webhook's event, the tables it tells of, and the run that follows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from planasonix.sandbox import DEFAULT_API_KEY
from planasonix.webhooks import Arrival, Event, Inbox
from tests.dagster.sensing import setting_with
from tests.pages import ROOT

BILLING = "conn_billing_stripe"
CHARGES = dg.AssetKey(["billing_stripe", "stripe", "charges"])


@pytest.mark.timeout(300)
def test_an_event_is_told_and_a_run_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "example_dags" / "dagster"))
    url = f"sqlite:///{tmp_path}/inbox.db"
    monkeypatch.setenv("PLANASONIX_INBOX_URL", url)
    monkeypatch.setenv("PLANASONIX_API_KEY", DEFAULT_API_KEY)
    with setting_with(speed=50) as setting, Inbox.open(url) as inbox:
        monkeypatch.setenv("PLANASONIX_BASE_URL", setting.sandbox.url)
        from planasonix_example.definitions import defs

        location: Any = defs()
        repository = location.get_repository_def()
        sensor = repository.get_sensor_def("planasonix_inbox")
        setting.tick(sensor)
        job_id = setting.synced(BILLING)
        body = {"type": "job.succeeded", "job_id": job_id, "connection_id": BILLING}
        inbox.add([Arrival.of(Event.parse(json.dumps(body).encode()))])
        setting.tick(sensor)
        [record] = setting.instance.fetch_materializations(CHARGES, limit=5).records
        assert record.asset_materialization is not None
        assert record.asset_materialization.metadata["planasonix/job_id"].value == job_id

        context = dg.build_sensor_context(
            instance=setting.instance, repository_def=repository, sensor_name="after_billing"
        )
        evaluated = repository.get_sensor_def("after_billing").evaluate_tick(context)
        [request] = evaluated.run_requests or []
        done = location.resolve_job_def("orders_after_billing").execute_in_process(
            instance=setting.instance, tags=request.tags
        )
        assert done.success
        [job] = setting.client.jobs.list(connection_id="conn_shop_orders")
        assert setting.sandbox.job(job.id)["metadata"]["planasonix_depth"] == 1
