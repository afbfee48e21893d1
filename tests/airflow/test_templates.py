"""Every templated field, rendered by Airflow itself, as text and as native objects: the same request, or an error that
names the field before anything is sent.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix.errors import ConfigurationError
from planasonix.runs import BackfillRequest, StagedBackfill, SyncRequest

START, END = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)
PARAMS = {
    "connection": "conn_shop_orders",
    "seconds": 600,
    "pause": 0.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "tables": ["public.orders", "public.order_items"],
    "metadata": {"team": "shop", "cost": 3},
    "partitions": [["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"]],
    "word": "skip",
}
CONTEXT: dict[str, Any] = {"params": PARAMS, "data_interval_start": START, "data_interval_end": END, "ds": "2026-01-05"}

native = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])


def rendered(kind: type, native: bool, **parameters: Any) -> Any:
    """The operator as its `execute` finds it."""
    with DAG("d", schedule=None, render_template_as_native_obj=native):
        task = kind(**{"task_id": "t", "connection_id": "conn_shop_orders", **parameters})
    task.render_template_fields(dict(CONTEXT))
    return task


@native
def test_a_sync(native: bool) -> None:
    task = rendered(
        PlanasonixSyncOperator,
        native,
        connection_id="{{ params.connection }}",
        priority="{{ params.nothing }}",
        pipeline_id="{{ params.nothing }}",
        expected_tables="{{ params.tables }}",
        metadata="{{ params.metadata }}",
        timeout_seconds="{{ params.seconds }}",
        poll_interval_seconds="{{ params.pause }}",
        if_running="{{ params.word }}",
        wait_for_completion="{{ params.no }}",
        cancel_on_kill="{{ params.yes }}",
    )
    task.check_parameters()
    assert task.run_request({}) == SyncRequest("conn_shop_orders", expected_tables=tuple(PARAMS["tables"]))
    assert task.metadata == PARAMS["metadata"]
    assert (task.timeout_seconds, task.poll_interval_seconds, task.if_running) == (600, 0.5, "skip")
    assert (task.wait_for_completion, task.cancel_on_kill) == (False, True)


@native
@pytest.mark.parametrize("tables", ["{{ params.tables }}", "{{ params.tables | tojson }}", ["{{ params.tables[0] }}"]])
def test_a_backfill(native: bool, tables: Any) -> None:
    task = rendered(
        PlanasonixBackfillOperator,
        native,
        start_at="{{ data_interval_start }}",
        end_at="{{ ds }}T23:00:00+02:00",
        tables=tables,
    )
    wanted = PARAMS["tables"][:1] if isinstance(tables, list) else PARAMS["tables"]
    request = task.run_request({})
    assert request == BackfillRequest("conn_shop_orders", START, datetime(2026, 1, 5, 21, tzinfo=UTC), tuple(wanted))


@native
def test_a_window_that_is_none_is_the_data_interval(native: bool) -> None:
    nothing = "{{ params.nothing }}"
    task = rendered(PlanasonixBackfillOperator, native, start_at=nothing, end_at=nothing, tables=nothing, stage=nothing)
    assert task.run_request(CONTEXT) == BackfillRequest("conn_shop_orders", START, END)


@native
def test_stages(native: bool) -> None:
    task = rendered(
        PlanasonixBackfillOperator,
        native,
        start_at="{{ data_interval_start }}",
        end_at="{{ data_interval_end.isoformat() }}",
        stage="{{ '12h' }}",
        max_active_stages="{{ 1 + 1 }}",
        stop_after_failures="{{ params.nothing }}",
        on_clear="{{ 'restart' }}",
    )
    staged = task.run_request({})
    assert isinstance(staged, StagedBackfill)
    assert (len(staged.stages), staged.max_active_stages, staged.stop_after_failures) == (2, 2, None)
    assert staged.on_clear == "restart"


@native
def test_partitions(native: bool) -> None:
    task = rendered(PlanasonixBackfillOperator, native, partitions="{{ params.partitions }}")
    assert [(stage.start_at, stage.end_at) for stage in task.run_request({}).stages] == [(START, END)]


@native
def test_a_mapped_task(native: bool) -> None:
    """Airflow renders an unmapped copy by another way than `render_template_fields` of the operator."""
    with DAG("d", schedule=None, render_template_as_native_obj=native, params={"seconds": 600}) as dag:
        mapped = PlanasonixSyncOperator.partial(task_id="t", timeout_seconds="{{ params.seconds }}").expand(
            connection_id=["conn_shop_orders", "{{ params.connection }}"]
        )
    instance = SimpleNamespace(map_index=1, task=mapped)
    context = {**CONTEXT, "ti": instance, "task": mapped, "dag": dag, "dag_run": SimpleNamespace(conf=PARAMS)}
    mapped.render_template_fields(context)  # type: ignore[arg-type]
    task = context["task"]
    assert (task.connection_id, task.timeout_seconds) == ("conn_shop_orders", 600)


WRONG = [
    (PlanasonixSyncOperator, {"connection_id": "{{ params.nothing }}"}, "connection_id"),
    (PlanasonixSyncOperator, {"pipeline_id": "{{ '' }}"}, "pipeline_id"),
    (PlanasonixSyncOperator, {"expected_tables": "{{ 'public.orders,public.refunds' }}"}, "expected_tables"),
    (PlanasonixSyncOperator, {"expected_tables": "{{ params.metadata }}"}, "expected_tables"),
    (PlanasonixSyncOperator, {"metadata": "{{ params.tables }}"}, "metadata"),
    (PlanasonixSyncOperator, {"metadata": "{{ params.word }}"}, "metadata"),
    (PlanasonixSyncOperator, {"timeout_seconds": "{{ '1 hour' }}"}, "timeout_seconds"),
    (PlanasonixSyncOperator, {"timeout_seconds": "{{ params.nothing }}"}, "timeout_seconds"),
    (PlanasonixSyncOperator, {"timeout_seconds": "{{ -1 }}"}, "timeout_seconds"),
    (PlanasonixSyncOperator, {"timeout_seconds": "{{ 'nan' }}"}, "timeout_seconds"),
    (PlanasonixSyncOperator, {"poll_interval_seconds": "{{ 0 }}"}, "poll_interval_seconds"),
    (PlanasonixSyncOperator, {"if_running": "{{ 'queue' }}"}, "if_running"),
    (PlanasonixSyncOperator, {"wait_for_completion": "{{ 'no' }}"}, "wait_for_completion"),
    (PlanasonixSyncOperator, {"cancel_on_kill": "{{ 1 }}"}, "cancel_on_kill"),
    (PlanasonixBackfillOperator, {"start_at": "{{ ds }}", "end_at": END}, "start_at"),
    (PlanasonixBackfillOperator, {"start_at": START, "end_at": "{{ 5 }}"}, "end_at"),
    (PlanasonixBackfillOperator, {"start_at": START, "end_at": "{{ params.nothing }}"}, "end_at"),
    (PlanasonixBackfillOperator, {"start_at": END, "end_at": "{{ data_interval_start }}"}, "end_at"),
    (PlanasonixBackfillOperator, {"start_at": START, "end_at": END, "tables": "{{ '' }}"}, "tables"),
    (PlanasonixBackfillOperator, {"start_at": START, "end_at": END, "tables": "{{ [] }}"}, "tables"),
    (PlanasonixBackfillOperator, {"start_at": START, "end_at": END, "tables": "{{ params.seconds }}"}, "tables"),
    (PlanasonixBackfillOperator, {"stage": "{{ 'fortnight' }}"}, "stage"),
    (PlanasonixBackfillOperator, {"stage": "1d", "max_active_stages": "{{ 0.5 }}"}, "max_active_stages"),
    (PlanasonixBackfillOperator, {"stage": "1d", "stop_after_failures": "{{ 'x' }}"}, "stop_after_failures"),
    (PlanasonixBackfillOperator, {"stage": "1d", "on_clear": "{{ 'x' }}"}, "on_clear"),
    (PlanasonixBackfillOperator, {"stage": "1d", "wait_for_completion": "{{ False }}"}, "wait_for_completion"),
    (PlanasonixBackfillOperator, {"partitions": "{{ params.word }}"}, "partitions"),
    (PlanasonixBackfillOperator, {"partitions": "{{ params.seconds }}"}, "partitions"),
    (PlanasonixBackfillOperator, {"partitions": "{{ [1, 2] }}"}, "partitions"),
    (PlanasonixBackfillOperator, {"partitions": "{{ [] }}"}, "partitions"),
]


@native
@pytest.mark.parametrize(("kind", "parameters", "field"), WRONG, ids=[f"{row[2]}={row[1][row[2]]}" for row in WRONG])
def test_what_does_not_fit_is_named(kind: type, parameters: dict[str, Any], field: str, native: bool) -> None:
    task = rendered(kind, native, **parameters)
    with pytest.raises(ConfigurationError) as caught:
        task.execute(CONTEXT)
    assert caught.value.field == field
    assert field.removesuffix("s") in str(caught.value)  # "partition 1 must be …"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        # Every text is true to Python: "False" would wait, and "{{ … }}" would be deferred whatever it says.
        ({"wait_for_completion": "False"}, "wait_for_completion"),
        ({"cancel_on_kill": "no"}, "cancel_on_kill"),
        ({"deferrable": "{{ params.yes }}"}, "deferrable"),
        ({"timeout_seconds": "600"}, "timeout_seconds"),
        ({"poll_interval_seconds": "5"}, "poll_interval_seconds"),
        ({"metadata": ["team"]}, "metadata"),
    ],
)
def test_a_literal_is_an_error_of_the_dag_file(parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PlanasonixSyncOperator(task_id="t", connection_id="conn_shop_orders", **parameters)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "parameters", "field"),
    [
        (PlanasonixSyncOperator, {"connection_id": ""}, "connection_id"),
        (PlanasonixSyncOperator, {"connection_id": None}, "connection_id"),
        (PlanasonixSyncOperator, {"priority": 5}, "priority"),
        (PlanasonixSyncOperator, {"pipeline_id": " "}, "pipeline_id"),
        (PlanasonixSyncOperator, {"expected_tables": "public.orders"}, "expected_tables"),
        (PlanasonixBackfillOperator, {"connection_id": ""}, "connection_id"),
        (PlanasonixBackfillOperator, {"priority": 5}, "priority"),
        (PlanasonixBackfillOperator, {"tables": "stripe.charges"}, "tables"),
        (PlanasonixBackfillOperator, {"tables": []}, "tables"),
        (PlanasonixBackfillOperator, {"start_at": START.replace(tzinfo=None), "end_at": END}, "start_at"),
        (PlanasonixBackfillOperator, {"start_at": "2026-01-01", "end_at": "{{ data_interval_end }}"}, "start_at"),
        (PlanasonixBackfillOperator, {"start_at": "{{ data_interval_start }}", "end_at": "2026-01-01"}, "end_at"),
        (PlanasonixBackfillOperator, {"start_at": START.date(), "end_at": END}, "start_at"),
        (PlanasonixBackfillOperator, {"start_at": END, "end_at": START}, "end_at"),
        (PlanasonixBackfillOperator, {"start_at": START, "end_at": START}, "end_at"),
        (PlanasonixBackfillOperator, {"start_at": START}, "end_at"),
        (PlanasonixBackfillOperator, {"end_at": "2026-01-01T00:00Z"}, "start_at"),
    ],
)
def test_a_request_that_cannot_be_sent_is_an_error_of_the_dag_file(
    kind: type, parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(**{"task_id": "t", "connection_id": "conn_shop_orders", **parameters})
    assert caught.value.field == field
    assert field in str(caught.value)


def test_to_look_at_literals_does_not_import_the_models() -> None:
    """A DAG file is parsed again and again: the models of the requests are for the worker."""
    code = """
import sys
from datetime import UTC, datetime
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
PlanasonixSyncOperator(task_id="s", connection_id="c", priority="low", expected_tables=["public.orders"])
window = {"start_at": datetime(2026, 1, 1, tzinfo=UTC), "end_at": "2026-01-02T00:00Z"}
PlanasonixBackfillOperator(task_id="b", connection_id="c", tables=["public.orders"], **window)
print([name for name in ("planasonix.models", "planasonix.client") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]"
