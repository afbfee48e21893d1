"""A sensor that waits in the triggerer: what its trigger fires, and what the worker makes of it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger
from airflow_provider_planasonix.triggers.since import PlanasonixSinceTrigger
from planasonix import Planasonix
from planasonix.errors import ConfigurationError, PlanasonixError, RunFailedError
from planasonix.sandbox import RunningSandbox
from tests.airflow.sensors.parts import KEY, ORDERS, SINCE, TRIGGER_ALONE, Context, deferred, event_of, sensor


def test_a_job_that_has_ended_is_not_deferred_for(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context
) -> None:
    job = somebody.connections.sync(ORDERS)
    sandbox.finish(job.id)
    assert sensor(job_id=job.id, deferrable=True).execute(context)["id"] == job.id
    assert sensor(**SINCE, deferrable=True).execute(context)["id"] == job.id


def round_trip(trigger: Any) -> Any:
    """As Airflow stores a trigger and makes it anew."""
    path, kwargs = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
    text = json.dumps(serialize(kwargs))
    assert KEY not in text
    again = type(trigger)(**deserialize(json.loads(text)))
    assert again.serialize() == (path, kwargs)
    return again


def test_a_named_job_waits_in_the_trigger_of_the_operators_and_owns_nothing(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context
) -> None:
    job = somebody.connections.sync(ORDERS)
    task = sensor(job_id=job.id, deferrable=True, timeout=100, poke_interval=0.1)
    asked = deferred(task, context)
    trigger = round_trip(asked.trigger)
    assert isinstance(trigger, PlanasonixRunTrigger)
    assert (trigger.cancel_on_kill, trigger.handle["owned"]) == (False, False)
    assert trigger.handle["deadline_at"] == pytest.approx(trigger.deferred_at + 100, abs=5)
    assert asked.timeout is not None
    assert asked.timeout > timedelta(seconds=100)
    trigger.deferred_at = 0.0
    sandbox.finish(job.id)
    event = event_of(trigger)
    assert task.execute_complete(context, event)["rows_loaded"] > 0
    assert sandbox.cancels() == 0


@pytest.mark.parametrize("fields", ["id", "since"])
def test_who_is_resumed_needs_no_other_task(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context, fields: str
) -> None:
    job = somebody.connections.sync(ORDERS)
    task = sensor(**({"job_id": job.id} if fields == "id" else SINCE), deferrable=True, poke_interval=0.1)
    trigger: Any = deferred(task, context).trigger
    trigger.deferred_at = 0.0
    sandbox.finish(job.id)
    event = event_of(trigger)
    # The task that named it was cleared meanwhile, and its XCom with it.
    again = sensor(**({"job_id": "{{ a }}"} if fields == "id" else {**SINCE, "since": "{{ a }}"}), deferrable=True)
    again.render_template_fields({"a": None})
    assert again.execute_complete(context, event)["id"] == job.id


@pytest.mark.parametrize("fields", ["id", "since"])
def test_what_a_trigger_has_seen_is_told_again(
    somebody: Planasonix,
    sandbox: RunningSandbox,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    fields: str,
) -> None:
    job = somebody.connections.sync(ORDERS)
    task = sensor(**({"job_id": job.id} if fields == "id" else SINCE), deferrable=True, timeout=1, poke_interval=0.1)
    trigger: Any = deferred(task, context).trigger
    trigger.deferred_at = 0.0
    event = event_of(trigger)
    told: list[str] = []
    monkeypatch.setattr(type(task), "log", SimpleNamespace(info=lambda text, *words: told.append(text)))
    with pytest.raises(AirflowSensorTimeout):
        task.execute_complete(context, event)
    [text] = told
    assert text.startswith("Seen while it was waited for elsewhere:")
    assert f"job {job.id} is running" in text or f"job {job.id} is queued" in text


def test_a_job_that_could_not_be_read_at_first_is_told_all_the_same(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context
) -> None:
    job = somebody.connections.sync(ORDERS)
    sandbox.fault("jobs.get", status=422, times=1)
    task = sensor(job_id=job.id, deferrable=True, poke_interval=0.1)
    trigger: Any = deferred(task, context).trigger
    trigger.deferred_at = 0.0
    sandbox.finish(job.id)
    assert task.execute_complete(context, event_of(trigger))["connection_id"] == ORDERS


def test_the_first_success_is_found_by_a_trigger(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context
) -> None:
    task = sensor(**SINCE, deferrable=True, poke_interval=0.1)
    trigger = round_trip(deferred(task, context).trigger)
    assert isinstance(trigger, PlanasonixSinceTrigger)
    trigger.deferred_at = 0.0
    job = somebody.connections.sync(ORDERS)
    sandbox.finish(job.id)
    event = event_of(trigger)
    assert (event["end"], event["status"]) == ("ended", "succeeded")
    assert task.execute_complete(context, event)["id"] == job.id
    assert context.pushed[-1] == f"https://app.example/jobs/{job.id}"


def test_what_ended_badly_in_a_trigger_is_told_by_the_worker(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sensor(**SINCE, deferrable=True, poke_interval=0.1)
    trigger: Any = deferred(task, context).trigger
    trigger.deferred_at = 0.0
    monkeypatch.setattr("planasonix.runs.since.judge.SETTLE_SECONDS", -3600.0)
    job = somebody.connections.sync(ORDERS)
    sandbox.finish(job.id, "failed")
    event = event_of(trigger)
    with pytest.raises(RunFailedError, match=job.id):
        task.execute_complete(context, event)


def test_a_deadline_is_airflows_own_timeout(somebody: Planasonix, sandbox: RunningSandbox, context: Context) -> None:
    job = somebody.connections.sync(ORDERS)
    for fields in ({"job_id": job.id}, SINCE):
        task = sensor(**fields, deferrable=True, timeout=0.5, poke_interval=0.1)
        trigger: Any = deferred(task, context).trigger
        trigger.deferred_at = 0.0
        event = event_of(trigger)
        assert event["end"] == "deadline"
        with pytest.raises(AirflowSensorTimeout, match=job.id):
            task.resume_execution("execute_complete", {"event": event}, context)
        task.soft_fail = True
        with pytest.raises(AirflowSkipException):
            task.resume_execution("execute_complete", {"event": event}, context)


@pytest.mark.parametrize("fields", ["id", "since"])
def test_execution_timeout_bounds_a_deferral_and_lets_a_retry_follow(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context, fields: str
) -> None:
    which = {"job_id": somebody.connections.sync(ORDERS).id} if fields == "id" else SINCE
    task = sensor(**which, deferrable=True, poke_interval=0.1, execution_timeout=timedelta(seconds=0.5))
    asked = deferred(task, context)
    trigger: Any = asked.trigger
    assert asked.timeout is not None
    assert asked.timeout < timedelta(hours=1)
    trigger.deferred_at = 0.0
    event = event_of(trigger)
    assert event["end"] == "deadline"
    with pytest.raises(AirflowTaskTimeout):
        task.resume_execution("execute_complete", {"event": event}, context)
    task.soft_fail = True
    with pytest.raises(AirflowSkipException):
        task.resume_execution("execute_complete", {"event": event}, context)
    alone = sensor(**{**TRIGGER_ALONE, "execution_timeout": timedelta(seconds=5)}).start_trigger_args
    assert alone is not None
    assert alone.timeout == timedelta(seconds=5)


def test_airflows_own_timeout_and_a_broken_trigger(context: Context) -> None:
    task = sensor(**SINCE, deferrable=True)
    with pytest.raises(AirflowSensorTimeout):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"since": "tonight"}, "since must be a moment"), ({"planasonix_conn_id": "nowhere"}, "nowhere")],
)
def test_a_trigger_that_cannot_begin_says_why(
    sandbox: RunningSandbox, context: Context, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], told: str
) -> None:
    async def refuse(conn_id: str, log: Any) -> None:
        raise ConfigurationError(f"no connection {conn_id}")

    if "planasonix_conn_id" in wrong:
        monkeypatch.setattr("airflow_provider_planasonix.triggers.since.client_with_patience", refuse)
    event = event_of(PlanasonixSinceTrigger(**{"kind": "job", **SINCE, **wrong}))
    assert event["end"] == "gave_up"
    task = sensor(**SINCE, deferrable=True)
    with pytest.raises(PlanasonixError, match=told):
        task.execute_complete(context, event)
    task.never_fail = True
    with pytest.raises(AirflowSkipException):
        task.execute_complete(context, event)


@pytest.mark.parametrize("event", [None, {}, {"end": "ended"}, {"status": "success"}, "success"])
def test_an_event_of_somebody_else_is_no_success(context: Context, event: Any) -> None:
    with pytest.raises(ConfigurationError):
        sensor(**SINCE, deferrable=True).execute_complete(context, event)


def test_a_sensor_cancels_nothing_when_it_is_ended(
    somebody: Planasonix, sandbox: RunningSandbox, context: Context
) -> None:
    job = somebody.connections.sync(ORDERS)
    task = sensor(job_id=job.id, deferrable=True)
    named: Any = deferred(task, context).trigger
    first: Any = deferred(sensor(**SINCE, deferrable=True), context).trigger

    async def end() -> None:
        for trigger in (named, first):
            await trigger.on_kill()
            await trigger.cleanup()

    asyncio.run(end())
    task.on_kill()
    assert sandbox.cancels() == 0
