"""The staged backfill operator without an Airflow: wrong parameters, the windows for expand, the book, the trigger."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, XComArg

import airflow_provider_planasonix.windows as windows_module
from airflow_provider_planasonix.book import TaskStateBook
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.pinned import as_first_asked
from airflow_provider_planasonix.triggers.stages import PlanasonixStagesTrigger
from planasonix.errors import ConfigurationError
from planasonix.runs import BackfillRequest, StagedBackfill

WINDOW = {"start_at": "2026-01-01T00:00Z", "end_at": "2026-03-01T00:00Z"}


def operator(**parameters: Any) -> PlanasonixBackfillOperator:
    return PlanasonixBackfillOperator(**{"task_id": "load", "connection_id": "conn_shop_orders", **parameters})


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"stage": "1 day", **WINDOW}, "stage"),
        ({"stage": timedelta(minutes=5), **WINDOW}, "stage"),
        ({"stage": "1d", "stage_timezone": "Mars/Olympus", **WINDOW}, "stage_timezone"),
        ({"stage_timezone": "Berlin"}, "stage_timezone"),
        ({"stage": "1d", "max_active_stages": 0, **WINDOW}, "max_active_stages"),
        ({"stage": "1d", "stop_after_failures": 0, **WINDOW}, "stop_after_failures"),
        ({"stage": "1d", "on_clear": "again", **WINDOW}, "on_clear"),
        ({"stage": "1d", "wait_for_completion": False, **WINDOW}, "wait_for_completion"),
        ({"partitions": [], "overlap": "union"}, "overlap"),
        ({"partitions": [("2026-01-01T00:00Z", "2026-01-02T00:00Z")], "stage": "1d"}, "partitions"),
        ({"partitions": []}, "partitions"),
        ({"stage": "1d", "overlap": "merge", **WINDOW}, "overlap"),
        ({"on_clear": "never", **WINDOW}, "on_clear"),
        ({"max_active_stages": -3, **WINDOW}, "max_active_stages"),
    ],
)
def test_a_wrong_parameter_is_an_error_of_the_dag_file(parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        operator(**parameters)
    assert caught.value.field == field
    assert field.removesuffix("s") in str(caught.value)


def test_a_templated_stage_is_checked_when_it_is_known() -> None:
    task = operator(stage="{{ params.stage }}", **WINDOW)
    task.stage = "fortnight"
    with pytest.raises(ConfigurationError, match="stage"):
        task.run_request({})


def test_what_is_not_known_yet_is_not_judged() -> None:
    with DAG("d", schedule=None):
        upstream = EmptyOperator(task_id="upstream")
        operator(task_id="a", stage=XComArg(upstream), **WINDOW)
        operator(task_id="b", stage="{% if 1 %}1d{% endif %}", **WINDOW)
        operator(task_id="c", partitions=[("{{ ds }}", "{{ macros.ds_add(ds, 1) }}")])
        operator(task_id="d", partitions=XComArg(upstream))


def test_a_try_goes_on_with_the_window_it_began_with() -> None:
    book = TaskStateBook({"task_state_store": Store()})

    def asked(end_at: str) -> StagedBackfill:
        task = operator(stage="1d", start_at="2026-01-01T00:00Z", end_at=end_at, tables=["public.b", "public.a"])
        return task.run_request({})

    first, moved = asked("2026-01-03T12:00Z"), asked("2026-01-03T12:01Z")
    assert as_first_asked(book, "wish/1", first) == first
    assert as_first_asked(book, "wish/1", moved) == first
    assert as_first_asked(book, "wish/2", moved) == moved


def test_the_stages_of_the_data_interval() -> None:
    task = operator(stage="1d", stage_timezone="Europe/Berlin")
    interval = {
        "data_interval_start": datetime(2026, 3, 27, 23, tzinfo=UTC),
        "data_interval_end": datetime(2026, 3, 30, 22, tzinfo=UTC),
    }
    request = task.run_request(interval)
    assert isinstance(request, StagedBackfill)
    hours = [(stage.end_at - stage.start_at) / timedelta(hours=1) for stage in request.stages]
    assert hours == [24.0, 23.0, 24.0]


def test_without_a_stage_it_is_one_backfill() -> None:
    assert isinstance(operator(**WINDOW).run_request({}), BackfillRequest)


def test_partitions_are_the_stages() -> None:
    pairs = [("2026-01-01T00:00Z", "2026-01-02T00:00Z"), ("2026-02-01T00:00Z", "2026-02-05T00:00Z")]
    request = operator(partitions=pairs).run_request({})
    assert [stage.start_at.day for stage in request.stages] == [1, 1]
    assert request.request.connection_id == "conn_shop_orders"


def test_the_examples_of_the_windows() -> None:
    assert doctest.testmod(windows_module).attempted > 0
    assert doctest.testmod(windows_module).failed == 0


class Store:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


def test_the_book_keeps_an_entry_for_each_stage_and_knows_its_own_runs() -> None:
    store = Store()
    book = TaskStateBook({"task_state_store": store})
    book.write("a", {"operation": "connections.backfill", "sent_at": 1.0, "run_id": "bf_1", "owned": True})
    book.write("b", {"operation": "connections.backfill", "sent_at": 1.0, "run_id": "bf_2", "owned": False})
    assert set(store.values) == {"planasonix/a", "planasonix/b"}
    assert book.claimed(["bf_1", "bf_2", "bf_3"], besides="c") == {"bf_1"}
    assert book.claimed(["bf_1"], besides="a") == frozenset()
    again = TaskStateBook({"task_state_store": store})
    assert again.read("a") == store.values["planasonix/a"]
    assert again.read("nothing") is None


def test_the_trigger_comes_back_as_it_was() -> None:
    trigger = PlanasonixStagesTrigger([{"id": "bf_1"}], {"dag_id": "d"}, "conn", 2.0, False, 17.0)
    path, arguments = trigger.serialize()
    assert path.endswith("triggers.stages.PlanasonixStagesTrigger")
    again = PlanasonixStagesTrigger(**arguments)
    assert again.serialize() == (path, arguments)
