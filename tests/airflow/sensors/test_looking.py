"""One look of a sensor: which job it means, which end it tells, which failed look ends nothing."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from airflow_provider_planasonix import looking
from airflow_provider_planasonix.sensors.backfill import PlanasonixBackfillSensor
from planasonix import Planasonix
from planasonix.errors import AuthenticationError, ConfigurationError, PlanasonixError, RunFailedError
from planasonix.sandbox import RunningSandbox
from planasonix.watch.patience import Patience
from tests.airflow.sensors.parts import ORDERS, SINCE, Context, sensor


def as_handle(job_id: str) -> dict[str, Any]:
    return looking.handle_of("job", job_id, ORDERS, created_at=0.0).to_dict()


@pytest.mark.parametrize(
    "shape",
    [
        str,
        as_handle,
        lambda job_id: str(as_handle(job_id)),
        lambda job_id: json.dumps(as_handle(job_id)),
        lambda job_id: {"kind": "job", "id": job_id, "connection_id": ORDERS, "status": "succeeded", "tables": []},
    ],
    ids=["id", "handle", "its text", "its JSON", "outcome"],
)
def test_a_job_is_named_by_its_id_or_by_what_an_operator_returned(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context, shape: Any
) -> None:
    job = somebody.connections.sync(ORDERS)
    task = sensor(job_id=shape(job.id))
    assert not task.poke(context)
    assert not task.poke(context)
    assert context.pushed == [f"https://app.example/jobs/{job.id}"]
    sandbox.finish(job.id)
    found = task.poke(context)
    assert found
    assert (found.xcom_value["id"], found.xcom_value["status"], found.xcom_value["owned"]) == (
        job.id,
        "succeeded",
        False,
    )
    assert found.xcom_value["rows_loaded"] > 0
    json.dumps(found.xcom_value)


def test_a_skipped_task_names_no_job(context: Context) -> None:
    task = sensor(job_id="{{ a }}")
    task.render_template_fields({"a": None})
    with pytest.raises(ConfigurationError, match="one that was skipped"):
        task.poke(context)


def test_a_job_type_that_was_rendered_to_nothing_is_any() -> None:
    task = sensor(**SINCE, job_type="{{ a }}")
    task.render_template_fields({"a": None})
    wish = task.wish()
    assert wish is not None
    assert wish.job_type is None


@pytest.mark.parametrize("value", [None, "", {"kind": "job"}, {"stages": []}, 7, "{broken"])
def test_what_names_no_job_is_told(sandbox: RunningSandbox, context: Context, value: Any) -> None:
    task = sensor(job_id="{{ a }}")
    task.job_id = value
    with pytest.raises(ConfigurationError) as caught:
        task.poke(context)
    assert caught.value.field == "job_id"


def test_a_backfills_handle_is_not_a_jobs(sandbox: RunningSandbox, context: Context) -> None:
    with pytest.raises(ConfigurationError, match="job_id names a backfill"):
        sensor(job_id={"kind": "backfill", "id": "bf_1"}).poke(context)


def test_a_handle_of_another_connections_job_is_not_believed(somebody: Planasonix, context: Context) -> None:
    job = somebody.connections.sync(ORDERS)
    task = sensor(job_id={**as_handle(job.id), "connection_id": "conn_other", "target_id": "conn_other"})
    task.patience = Patience(missing_grace_seconds=0.0)
    with pytest.raises(PlanasonixError, match="is one of connection conn_shop_orders and not of conn_other"):
        task.poke(context)


def test_the_first_success_since_then_is_found(somebody: Planasonix, sandbox: RunningSandbox, context: Context) -> None:
    task = sensor(**SINCE)
    assert not task.poke(context)
    assert context.pushed == [""]
    job = somebody.connections.sync(ORDERS)
    assert not task.poke(context)
    assert context.pushed == ["", f"https://app.example/jobs/{job.id}"]
    sandbox.finish(job.id)
    assert task.poke(context).xcom_value["id"] == job.id


def test_a_backfill_is_found(somebody: Planasonix, sandbox: RunningSandbox, context: Context) -> None:
    sandbox.script(ORDERS, "succeeded", duration_seconds=0.0, queue_seconds=0.0)
    window = {"start_at": datetime(2026, 1, 1, tzinfo=UTC), "end_at": datetime(2026, 1, 2, tzinfo=UTC)}
    backfill = somebody.connections.backfill(ORDERS, **window)
    sandbox.advance(5)
    for fields in ({"backfill_id": backfill.id}, SINCE):
        found = PlanasonixBackfillSensor(task_id="wait", deferrable=False, **fields).poke(context)
        assert (found.xcom_value["kind"], found.xcom_value["id"]) == ("backfill", backfill.id)


@pytest.mark.parametrize("fields", ["id", "since"])
@pytest.mark.parametrize(
    ("ended", "options", "error"),
    [
        ("failed", {}, RunFailedError),
        ("surprising", {}, RunFailedError),
        ("cancelled", {}, AirflowFailException),
        ("failed", {"soft_fail": True}, AirflowSkipException),
        ("cancelled", {"soft_fail": True}, AirflowSkipException),
        ("failed", {"never_fail": True}, AirflowSkipException),
        ("failed", {"wanted_status": "ended"}, None),
    ],
)
def test_a_bad_end(
    somebody: Planasonix,
    sandbox: RunningSandbox,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    fields: str,
    ended: str,
    options: dict[str, Any],
    error: type[Exception] | None,
) -> None:
    monkeypatch.setattr("planasonix.runs.since.judge.SETTLE_SECONDS", -3600.0)
    job = somebody.connections.sync(ORDERS)
    sandbox.finish(job.id, ended)
    for mode in ({"mode": "reschedule"}, {"deferrable": True}):
        task = sensor(**({"job_id": job.id} if fields == "id" else SINCE), **options, **mode)
        if error is None:
            assert task.execute(context)["status"] == "failed"
            continue
        with pytest.raises(error) as caught:
            task.execute(context)
        assert f"Planasonix job {job.id} of connection {ORDERS}" in str(caught.value)
        assert "only waited for" in str(caught.value)


def test_a_bad_end_may_be_waited_out(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planasonix.runs.since.judge.SETTLE_SECONDS", -3600.0)
    sandbox.finish(somebody.connections.sync(ORDERS).id, "failed")
    task = sensor(**SINCE, fail_on_failure=False)
    assert not task.poke(context)
    sandbox.finish(somebody.connections.sync(ORDERS).id)
    assert task.poke(context)


def test_bad_polls_end_nothing(somebody: Planasonix, sandbox: RunningSandbox, context: Context) -> None:
    job = somebody.connections.sync(ORDERS)
    sandbox.finish(job.id)
    sandbox.fault("jobs.*", status=422, times=2)
    assert not sensor(**SINCE).poke(context)
    assert not sensor(job_id=job.id).poke(context)
    assert sensor(job_id=job.id).poke(context)


@pytest.mark.parametrize("mode", [{"mode": "poke"}, {"mode": "reschedule"}])
def test_a_connection_that_cannot_be_read_ends_nothing_for_a_while(
    somebody: Planasonix,
    sandbox: RunningSandbox,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    mode: dict[str, Any],
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(looking, "time", SimpleNamespace(time=lambda: now[0]))
    job = somebody.connections.sync(ORDERS)
    sandbox.finish(job.id)
    task = sensor(job_id=job.id, **mode)
    connection = os.environ["AIRFLOW_CONN_PLANASONIX_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_PLANASONIX_DEFAULT")
    for _ in range(2):
        assert not task.poke(context)
        now[0] += 151
    with pytest.raises(AirflowNotFoundException, match="planasonix_default"):
        task.poke(context)
    monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", connection)
    assert task.poke(context)


def test_a_missing_job_ends_it_after_a_while_in_one_process(
    sandbox: RunningSandbox, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(looking, "time", SimpleNamespace(time=lambda: now[0]))
    task = sensor(job_id="job_nowhere")
    for _ in range(2):
        assert not task.poke(context)
        now[0] += 61
    with pytest.raises(PlanasonixError, match="404"):
        task.poke(context)
    assert context.stored == {}


def test_a_refused_key_ends_it_after_a_while_over_many_processes(
    sandbox: RunningSandbox, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(looking, "time", SimpleNamespace(time=lambda: now[0]))
    sandbox.fault("jobs.get", status=401, times=100)

    def poke() -> None:
        with pytest.raises(AirflowRescheduleException):
            sensor(job_id="job_1", mode="reschedule").execute(context)

    poke()
    now[0] += 200
    poke()
    now[0] += 200
    with pytest.raises(AuthenticationError):
        sensor(job_id="job_1", mode="reschedule").execute(context)
    # A new try has its own patience.
    context["ti"].try_number = 2
    poke()
    assert json.dumps(context.stored)
