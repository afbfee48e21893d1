"""The sensors without an Airflow, against a sandbox in this process: fields, looks, deferrals, what a trigger tells."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, XComArg
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_planasonix import looking
from airflow_provider_planasonix.sensors.backfill import PlanasonixBackfillSensor
from airflow_provider_planasonix.sensors.job import PlanasonixJobSensor
from airflow_provider_planasonix.triggers.run import PlanasonixRunTrigger
from airflow_provider_planasonix.triggers.since import PlanasonixSinceTrigger
from planasonix import Planasonix
from planasonix.errors import AuthenticationError, ConfigurationError, PlanasonixError, RunFailedError
from planasonix.sandbox import RunningSandbox, Sandbox
from planasonix.watch.patience import Patience

KEY = "plnx_live_canary_sensors_51c7"
ORDERS = "conn_shop_orders"
LONG_AGO = "2026-01-01T00:00:00+00:00"
SINCE = {"connection_id": ORDERS, "since": LONG_AGO}


@pytest.fixture(scope="module")
def served() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,)).serve() as running:
        yield running


@pytest.fixture
def sandbox(served: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    served.reset()
    served.script(ORDERS, "stuck")
    extra = json.dumps({"job_url_template": "https://app.example/{kind}s/{id}"})
    connection = {"conn_type": "planasonix", "host": served.url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(connection))
    return served


@pytest.fixture
def somebody(sandbox: RunningSandbox) -> Iterator[Planasonix]:
    """Who starts jobs without Airflow."""
    with Planasonix(KEY, sandbox.url) as client:
        yield client


class Context(dict[str, Any]):
    """What a sensor asks of a task's context."""

    def __init__(self) -> None:
        self.pushed: list[str] = []
        self.stored: dict[str, Any] = {}
        ti = SimpleNamespace(
            dag_id="d",
            run_id="r",
            task_id="wait",
            map_index=-1,
            try_number=1,
            xcom_push=lambda key, value: self.pushed.append(value),
            get_first_reschedule_date=lambda context: None,
        )
        super().__init__(ti=ti, task_state_store=SimpleNamespace(get=self.stored.get, set=self.stored.__setitem__))


@pytest.fixture
def context() -> Context:
    return Context()


def sensor(**fields: Any) -> PlanasonixJobSensor:
    return PlanasonixJobSensor(**{"task_id": "wait", "deferrable": False, **fields})


def deferred(task: Any, context: Context) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    return caught.value


def event_of(trigger: Any) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        return (await anext(trigger.run())).payload

    return asyncio.run(first())


# --- the DAG file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "job_id"),
        ({"job_id": "job_1", **SINCE}, "job_id"),
        ({"connection_id": ORDERS}, "since"),
        ({"job_id": "job_1", "since": LONG_AGO}, "since"),
        ({**SINCE, "since": "2026-01-01T00:00:00"}, "since"),
        ({**SINCE, "since": datetime(2026, 1, 1)}, "since"),  # noqa: DTZ001 - without a time zone, on purpose
        ({**SINCE, "connection_id": " "}, "connection_id"),
        ({**SINCE, "job_type": 7}, "job_type"),
        ({**SINCE, "wanted_status": "running"}, "wanted_status"),
        ({"job_id": "job_1", "wanted_status": "completed"}, "wanted_status"),
        ({"job_id": "job_1", "fail_on_failure": False}, "fail_on_failure"),
        ({**SINCE, "fail_on_failure": "no"}, "fail_on_failure"),
        ({"job_id": "job_1", "poke_interval": 0}, "poke_interval"),
        ({**SINCE, "start_from_trigger": True}, "start_from_trigger"),
        ({"job_id": "job_1", "start_from_trigger": True, "deferrable": True}, "start_from_trigger"),
        ({"job_id": "job_1", "deferrable": "False"}, "deferrable"),
        ({**SINCE, "start_from_trigger": "False"}, "start_from_trigger"),
    ],
)
def test_a_wrong_field_is_an_error_of_the_dag_file(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sensor(**fields)
    assert caught.value.field == field


TRIGGER_ALONE = {**SINCE, "deferrable": True, "start_from_trigger": True}


@pytest.mark.parametrize(
    "asking",
    [
        "{{ ti.xcom_pull('a') }}",
        "{{ var.value.connection }}",
        "{{ conn.shop.host }}",
        # In a triggerer nobody answers these: the wait would go on for ever, without one look.
        "{{ prev_data_interval_end_success }}",
        "{{ prev_data_interval_end_success or data_interval_start }}",
        "{{ prev_start_date_success }}",
        "{% if prev_end_date_success %}{{ ds }}{% endif %}",
        "{{ task_state_store.get('a') }}",
        "{{ ds",
        "{{ ds | }}",
    ],
)
@pytest.mark.parametrize("field", ["connection_id", "since", "job_type", "planasonix_conn_id"])
def test_a_triggerer_renders_nothing_that_asks_airflow(asking: str, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sensor(**{**TRIGGER_ALONE, field: asking})
    assert caught.value.field == "start_from_trigger"


@pytest.mark.parametrize(
    "since",
    [
        "{{ data_interval_start }}",
        "{{ (dag_run.logical_date - macros.timedelta(hours=1)).isoformat() }}",
        "{{ params.since if params.since else ts }}",
        "{% set day = ds %}{{ day }}T00:00:00Z",
    ],
)
def test_a_triggerer_renders_what_the_dag_run_knows(since: str) -> None:
    assert sensor(**{**TRIGGER_ALONE, "since": since}).start_trigger_args is not None


def test_what_is_not_known_yet_is_not_judged() -> None:
    with DAG("d", schedule=None) as dag:
        upstream = EmptyOperator(task_id="upstream")
        sensor(task_id="a", job_id=XComArg(upstream))
        sensor(task_id="b", connection_id=XComArg(upstream), since="{{ data_interval_start }}")
        sensor(task_id="c", connection_id="{{ params.connection }}", since=XComArg(upstream))
        PlanasonixJobSensor.partial(task_id="e", since="{{ ds }}").expand(connection_id=["conn_a", "conn_b"])
    assert {task.task_id for task in upstream.downstream_list} == {"a", "b", "c"}
    assert set(dag.task_ids) == {"upstream", "a", "b", "c", "e"}


def test_a_field_that_was_rendered_wrong_is_told_before_anything_is_sent(
    sandbox: RunningSandbox, context: Context
) -> None:
    task = sensor(connection_id=ORDERS, since="{{ ds }}")
    task.since = "2026-01-01"
    with pytest.raises(ConfigurationError, match="since must be a moment with a time zone"):
        task.execute(context)
    assert sandbox.counts()["calls"] == 0


@pytest.mark.parametrize("rendered", [None, ""])
def test_a_connection_that_was_rendered_to_nothing_is_told(context: Context, rendered: Any) -> None:
    task = sensor(connection_id="{{ a }}", since=LONG_AGO)
    task.render_template_fields({"a": rendered})
    with pytest.raises(ConfigurationError) as caught:
        task.poke(context)
    assert caught.value.field == "connection_id"


def test_the_default_of_deferrable_is_airflows() -> None:
    assert PlanasonixJobSensor(task_id="wait", job_id="job_1").deferrable is False


def test_starting_in_the_triggerer_hands_the_templates_over() -> None:
    fields = {"connection_id": "{{ params.connection }}", "since": datetime(2026, 1, 1, tzinfo=UTC)}
    task = sensor(**fields, deferrable=True, start_from_trigger=True, timeout=60)
    args = task.start_trigger_args
    assert args is not None
    assert args.trigger_cls.endswith(".PlanasonixSinceTrigger")
    assert (args.next_method, args.timeout) == ("execute_complete", timedelta(seconds=60))
    assert args.trigger_kwargs is not None
    assert PlanasonixSinceTrigger(**args.trigger_kwargs).since == LONG_AGO
    # What Airflow renders there are the fields that bear the same names.
    assert {"connection_id", "since", "job_type", "planasonix_conn_id"} <= set(args.trigger_kwargs)
    assert {"connection_id", "since", "job_type", "planasonix_conn_id"} < set(task.template_fields)


# --- looking ----------------------------------------------------------------------------------------------------------


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


# --- deferring --------------------------------------------------------------------------------------------------------


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
