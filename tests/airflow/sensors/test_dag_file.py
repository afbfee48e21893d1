"""Sensors as a DAG file makes them: which fields are refused, and what a triggerer may render."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, XComArg

from airflow_provider_planasonix.sensors.job import PlanasonixJobSensor
from airflow_provider_planasonix.triggers.since import PlanasonixSinceTrigger
from planasonix.errors import ConfigurationError
from planasonix.sandbox import RunningSandbox
from tests.airflow.sensors.parts import LONG_AGO, ORDERS, SINCE, TRIGGER_ALONE, Context, sensor


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
