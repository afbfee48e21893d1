"""The pipeline and the cancel operator without Airflow's processes: what they refuse, ask for and return."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_planasonix.operators import cancel as cancel_module
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.cancel import PlanasonixCancelOperator
from airflow_provider_planasonix.operators.pipeline import PlanasonixRunPipelineOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix import Planasonix
from planasonix.errors import ConfigurationError
from planasonix.sandbox import Sandbox

SECRET = "plnx_live_" + "a1b2c3d4" * 4


def pipeline(**arguments: Any) -> PlanasonixRunPipelineOperator:
    return PlanasonixRunPipelineOperator(task_id="run", **arguments)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "pipeline_id"),
        ({"pipeline_id": "pl_1", "pipeline_name": "daily"}, "pipeline_id"),
        ({"pipeline_id": " "}, "pipeline_id"),
        ({"pipeline_name": ""}, "pipeline_name"),
        ({"pipeline_id": "pl_1", "environment": ""}, "environment"),
        ({"pipeline_id": "pl_1", "variables": {}, "parameters": {}}, "parameters"),
        ({"pipeline_id": "pl_1", "variables": ["day"]}, "variables"),
        ({"pipeline_id": "pl_1", "variables": "day=1"}, "variables"),
        ({"pipeline_id": "pl_1", "parameters": "[1]"}, "variables"),
        ({"pipeline_id": "pl_1", "metadata": {"team": "sales"}}, "metadata"),
        ({"pipeline_id": "pl_1", "timeout": 60, "timeout_seconds": 60}, "timeout"),
        ({"pipeline_id": "pl_1", "timeout": timedelta(0)}, "timeout_seconds"),
        ({"pipeline_id": "pl_1", "if_running": "attack"}, "if_running"),
        ({"pipeline_id": "pl_1", "api_key": SECRET}, "api_key"),
        ({"pipeline_id": "pl_1", "api_key": "{{ var.value.key }}"}, "api_key"),
    ],
)
def test_what_a_dag_file_can_have_wrong_is_refused_at_parse(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        pipeline(**arguments)
    assert caught.value.field == field
    assert SECRET not in str(caught.value)


def test_the_names_of_the_vendors_documents_mean_the_same() -> None:
    ours = pipeline(pipeline_id="pl_1", environment="env_prod", variables={"day": "1"}, timeout_seconds=60.0)
    theirs = pipeline(pipeline_id="pl_1", environment="env_prod", parameters={"day": "1"}, timeout=timedelta(minutes=1))
    assert ours.run_request({}) == theirs.run_request({})
    assert ours.timeout_seconds == theirs.timeout_seconds == 60.0
    assert ours.run_request({}).body({}) == {"environmentId": "env_prod", "variables": {"day": "1"}}


def test_rendered_text_becomes_an_object_or_is_refused_before_anything_is_sent() -> None:
    task = pipeline(pipeline_id="pl_1", variables="{{ dag_run.conf | tojson }}")
    task.variables = '{"day": 5}'
    assert task.run_request({}).variables == {"day": 5}
    for wrong in ("{'day': 5}", "5", "null"):
        task.variables = wrong
        with pytest.raises(ConfigurationError) as caught:
            task.run_request({})
        assert caught.value.field == "variables"


def test_all_that_may_differ_by_run_is_templated() -> None:
    rendered = set(PlanasonixRunPipelineOperator.template_fields)
    assert {"pipeline_id", "pipeline_name", "environment", "variables", "metadata", "planasonix_conn_id"} <= rendered
    for operator in (PlanasonixSyncOperator, PlanasonixBackfillOperator):
        assert {"connection_id", "planasonix_conn_id", "priority", "metadata"} <= set(operator.template_fields)


def test_one_task_for_each_of_several_pipelines() -> None:
    with DAG("mapped"):
        mapped = PlanasonixRunPipelineOperator.partial(task_id="run").expand(pipeline_id=["pl_1", "pl_2"])
    assert mapped.task_id == "run"


class FakeTaskInstance:
    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    sandbox = Sandbox(speed=100)

    class Hook:
        def __init__(self, conn_id: str) -> None:
            pass

        def get_client(self) -> Planasonix:
            transport = sandbox.transport()
            return Planasonix("plnx_live_sandbox", transport=transport, job_url_template="https://app/{kind}s/{id}")

    monkeypatch.setattr(cancel_module, "PlanasonixHook", Hook)
    return sandbox


def cancel(**arguments: Any) -> tuple[Any, dict[str, Any]]:
    ti = FakeTaskInstance()
    return PlanasonixCancelOperator(task_id="stop", **arguments).execute({"ti": ti}), ti.xcoms


def test_the_same_run_is_cancelled_once_however_often(sandbox: Sandbox) -> None:
    sandbox.script("pl_daily_revenue", outcome="stuck")
    client = Planasonix("plnx_live_sandbox", transport=sandbox.transport())
    run_id = client.pipelines.run("pl_daily_revenue").id
    first, xcoms = cancel(pipeline_run_id=run_id)
    assert first == {
        "kind": "run",
        "id": run_id,
        "status": "cancelled",
        "api_status": "canceled",
        "already_ended": False,
        "connection_id": None,
        "pipeline_id": "pl_daily_revenue",
        "link": f"https://app/runs/{run_id}",
    }
    assert xcoms == {"planasonix_job_link": f"https://app/runs/{run_id}"}
    again, _ = cancel(pipeline_run_id=run_id)
    assert again == {**first, "already_ended": True}
    assert sandbox.run_cancels() == 1


def test_what_another_task_returned_names_the_run(sandbox: Sandbox) -> None:
    sandbox.script("conn_shop_orders", outcome="stuck")
    client = Planasonix("plnx_live_sandbox", transport=sandbox.transport())
    job_id = client.connections.sync("conn_shop_orders").id
    handle = {"kind": "job", "id": job_id, "target_id": "conn_shop_orders", "owned": True, "version": 2}
    with pytest.raises(ConfigurationError, match="may be somebody else's"):
        cancel(handle={**handle, "owned": False})
    assert sandbox.cancels() == 0
    ended, _ = cancel(handle=handle)
    assert (ended["status"], ended["connection_id"]) == ("cancelled", "conn_shop_orders")
    outcome = {"kind": "job", "id": job_id, "connection_id": "conn_shop_orders", "owned": True, "status": "cancelled"}
    assert cancel(handle=outcome)[0]["already_ended"]


def test_a_task_that_returned_nothing_leaves_nothing_to_cancel(sandbox: Sandbox) -> None:
    task = PlanasonixCancelOperator(task_id="stop", handle="{{ ti.xcom_pull('start') }}")
    task.handle = None
    assert task.execute({"ti": FakeTaskInstance()}) is None
    assert sandbox.calls() == 0


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "job_id"),
        ({"job_id": "job_1", "backfill_id": "bf_1"}, "backfill_id"),
        ({"job_id": ""}, "job_id"),
        ({"job_id": "job_1", "timeout_seconds": 0}, "timeout_seconds"),
    ],
)
def test_a_cancel_that_names_no_one_run_is_refused_at_parse(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PlanasonixCancelOperator(task_id="stop", **arguments)
    assert caught.value.field == field


@pytest.mark.parametrize("handle", ["", "{'kind': 'job'}", {"kind": "job"}, {"kind": "other", "id": "x"}, [1]])
def test_a_handle_that_is_none_is_refused_before_anything_is_sent(sandbox: Sandbox, handle: Any) -> None:
    task = PlanasonixCancelOperator(task_id="stop", handle="{{ ti.xcom_pull('start') }}")
    task.handle = handle
    with pytest.raises(ConfigurationError) as caught:
        task.execute({"ti": FakeTaskInstance()})
    assert caught.value.field == "handle"
    assert sandbox.calls() == 0
