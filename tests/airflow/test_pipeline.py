"""The pipeline and the cancel operator without Airflow's processes: what they refuse, ask for and return."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetAlias
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.ledger import KEY, TaskStateLedger
from airflow_provider_planasonix.operators import cancel as cancel_module
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.cancel import PlanasonixCancelOperator
from airflow_provider_planasonix.operators.pipeline import PlanasonixRunPipelineOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix import Planasonix
from planasonix.errors import ConfigurationError, PermissionDeniedError, RunFailedError, WaitTimeoutError
from planasonix.runs import Record, RunHandle
from planasonix.sandbox import Sandbox

REVENUE = Asset("s3://lake/revenue")
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
        ({"pipeline_id": 5}, "pipeline_id"),
        ({"pipeline_name": ["daily"]}, "pipeline_name"),
        ({"pipeline_id": "pl_1", "environment": 1}, "environment"),
        ({"pipeline_id": "pl_1", "variables": ["day"]}, "variables"),
        ({"pipeline_id": "pl_1", "variables": {1: "day"}}, "variables"),
        ({"pipeline_id": "pl_1", "variables": b"day"}, "variables"),
        ({"pipeline_id": "pl_1", "variables": "day=1"}, "variables"),
        ({"pipeline_id": "pl_1", "parameters": "[1]"}, "variables"),
        ({"pipeline_id": "pl_1", "metadata": {"team": "sales"}}, "metadata"),
        ({"pipeline_id": "pl_1", "timeout": 60, "timeout_seconds": 60}, "timeout"),
        ({"pipeline_id": "pl_1", "timeout": timedelta(0)}, "timeout_seconds"),
        ({"pipeline_id": "pl_1", "if_running": "attack"}, "if_running"),
        # Every text is true to Python.
        ({"pipeline_id": "pl_1", "forward_context": "False"}, "forward_context"),
        ({"pipeline_id": "pl_1", "outlets": [REVENUE], "wait_for_completion": False}, "outlets"),
        ({"pipeline_id": "pl_1", "outlets": [AssetAlias("tables")]}, "outlets"),
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


@pytest.mark.parametrize(
    ("defaults", "arguments", "seconds"),
    [
        ({"timeout_seconds": 600}, {"timeout": 300}, 300),
        ({"timeout": 60}, {"timeout_seconds": 300}, 300),
        ({"timeout": 60, "timeout_seconds": 600}, {"timeout": 300}, 300),
        ({"timeout": 60, "timeout_seconds": 600}, {}, 600),
    ],
)
def test_what_a_task_says_itself_wins_over_default_args(
    defaults: dict[str, Any], arguments: dict[str, Any], seconds: float
) -> None:
    with DAG("d", schedule=None, default_args=defaults):
        assert pipeline(pipeline_id="pl_1", **arguments).timeout_seconds == seconds


def test_metadata_of_default_args_are_for_those_that_send_any() -> None:
    with DAG("d", schedule=None, default_args={"metadata": {"team": "sales"}}):
        assert pipeline(pipeline_id="pl_1").metadata is None
        told = PlanasonixRunPipelineOperator(task_id="told", pipeline_id="pl_1", forward_context=True)
        assert told.metadata == {"team": "sales"}


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
    task.render_template_fields({"ti": SimpleNamespace(xcom_pull=lambda task_id: None)})
    assert task.execute({"ti": FakeTaskInstance()}) is None
    assert sandbox.calls() == 0


def test_the_text_of_what_a_task_returned_names_the_run(sandbox: Sandbox) -> None:
    sandbox.script("conn_shop_orders", outcome="stuck")
    job_id = Planasonix("plnx_live_sandbox", transport=sandbox.transport()).connections.sync("conn_shop_orders").id
    # Without a target nothing speaks against it.
    handle = {"kind": "job", "id": job_id, "owned": True}
    task = PlanasonixCancelOperator(task_id="stop", handle="{{ ti.xcom_pull('start') }}")
    task.render_template_fields({"ti": SimpleNamespace(xcom_pull=lambda task_id: handle)})
    told = task.execute({"ti": FakeTaskInstance()})
    assert told is not None
    assert (told["id"], told["status"]) == (job_id, "cancelled")


def test_an_id_that_was_rendered_to_nothing_is_refused_before_anything_is_sent(sandbox: Sandbox) -> None:
    task = PlanasonixCancelOperator(task_id="stop", job_id="{{ a }}")
    task.render_template_fields({"a": None})
    with pytest.raises(ConfigurationError) as caught:
        task.execute({"ti": FakeTaskInstance()})
    assert caught.value.field == "job_id"
    assert sandbox.calls() == 0


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "job_id"),
        ({"job_id": "job_1", "backfill_id": "bf_1"}, "backfill_id"),
        ({"job_id": ""}, "job_id"),
        ({"job_id": "job_1", "timeout_seconds": 0}, "timeout_seconds"),
        ({"job_id": "job_1", "wait_for_completion": "False"}, "wait_for_completion"),
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


class Store(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = value


class Task:
    """One task instance in the place of Airflow's processes: its store outlives its tries."""

    def __init__(self, sandbox: Sandbox, **arguments: Any) -> None:
        self.sandbox = sandbox
        self.arguments = {"poll_interval_seconds": 0.05, **arguments}
        self.store = Store()
        self.xcoms: dict[str, Any] = {}

    def context(self, operator: Any) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id="nightly", run_id="manual__1", task_id="run", map_index=-1, try_number=1, max_tries=1, log_url=None
        )
        ti.xcom_push = lambda key, value: self.xcoms.update({key: value})
        return {
            "ti": ti,
            "task": operator,
            "dag_run": SimpleNamespace(clear_number=0),
            "task_state_store": self.store,
        }

    def operator(self) -> PlanasonixRunPipelineOperator:
        operator = pipeline(**self.arguments)
        client = Planasonix(SECRET_OF_SANDBOX, transport=self.sandbox.transport(), environment="env_of_connection")
        hook = SimpleNamespace(get_client=lambda: client, job_url_template="https://app/{kind}s/{id}")
        operator.__dict__["hook"] = hook
        return operator

    def execute(self) -> Any:
        operator = self.operator()
        return operator.execute(self.context(operator))

    def resume(self, event: dict[str, Any]) -> Any:
        operator = self.operator()
        return operator.execute_complete(self.context(operator), event)


SECRET_OF_SANDBOX = "plnx_live_sandbox"


def test_a_task_runs_its_pipeline_by_name_and_a_retry_takes_the_result() -> None:
    sandbox = Sandbox(speed=100)
    task = Task(sandbox, pipeline_name="daily_revenue", variables={"day": "1"}, deferrable=False)
    outcome = task.execute()
    [run] = sandbox.runs("pl_daily_revenue")
    assert (outcome["kind"], outcome["id"], outcome["pipeline_id"]) == ("run", run["id"], "pl_daily_revenue")
    assert (run["variables"], run["environment_id"]) == ({"day": "1"}, "env_of_connection")
    assert task.xcoms["planasonix_job_link"] == f"https://app/runs/{run['id']}"
    again = task.execute()
    assert (again["id"], again["reattached"]) == (run["id"], True)
    assert sandbox.runs_started() == 1


def test_a_retry_finds_its_run_though_the_name_is_out_of_sight() -> None:
    sandbox = Sandbox(speed=0)
    task = Task(sandbox, pipeline_name="daily_revenue", deferrable=True)
    with pytest.raises(TaskDeferred):
        task.execute()
    sandbox.fault("pipelines.list", status=403, times=None)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute()
    [run] = sandbox.runs("pl_daily_revenue")
    assert deferred.value.trigger.serialize()[1]["handle"]["id"] == run["id"]
    assert sandbox.runs_started() == 1


def test_a_fresh_start_looks_the_name_up_again() -> None:
    sandbox = Sandbox(speed=100)
    sandbox.script("pl_daily_revenue", outcome="failed")
    task = Task(sandbox, pipeline_name="daily_revenue", deferrable=False)
    with pytest.raises(RunFailedError):
        task.execute()
    sandbox.fault("pipelines.list", status=403, times=None)
    with pytest.raises(PermissionDeniedError):
        task.execute()
    assert sandbox.runs_started() == 1


def test_the_context_is_forwarded_where_that_is_asked_for() -> None:
    sandbox = Sandbox(speed=100)
    Task(sandbox, pipeline_id="pl_daily_revenue", forward_context=True, metadata={"team": "sales"}).execute()
    [run] = sandbox.runs("pl_daily_revenue")
    told = {"dag_id": "nightly", "dag_run_id": "manual__1", "task_id": "run", "team": "sales"}
    assert told.items() <= run["variables"].items()


def test_a_deferred_task_waits_with_a_handle_of_the_run_and_resumes_with_its_outcome() -> None:
    sandbox = Sandbox(speed=0)
    task = Task(sandbox, pipeline_id="pl_daily_revenue", environment="env_prod", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute()
    [run] = sandbox.runs("pl_daily_revenue")
    _, arguments = deferred.value.trigger.serialize()
    assert (arguments["handle"]["kind"], arguments["handle"]["id"]) == ("run", run["id"])
    assert arguments["handle"]["target_id"] == "pl_daily_revenue"
    assert SECRET_OF_SANDBOX not in json.dumps(arguments)
    sandbox.finish(run["id"])
    outcome = task.resume(WaitEnd("ended", arguments["handle"], status="succeeded").to_payload())
    assert (outcome["id"], outcome["status"]) == (run["id"], "succeeded")
    assert run["environment_id"] == "env_prod"


def test_a_failed_run_fails_its_task_with_the_readable_message_and_a_retry_starts_another() -> None:
    sandbox = Sandbox(speed=100)
    sandbox.script("pl_daily_revenue", sequence=[{"outcome": "failed", "failed_node": "n_join"}, {}])
    task = Task(sandbox, pipeline_id="pl_daily_revenue")
    with pytest.raises(RunFailedError, match="of pipeline pl_daily_revenue failed") as caught:
        task.execute()
    assert "Node n_join (transform.join)  failed" in str(caught.value)
    assert task.execute()["generation"] == 1


def test_a_task_past_its_time_limit_gives_its_run_up() -> None:
    sandbox = Sandbox(speed=100)
    sandbox.script("pl_daily_revenue", outcome="stuck")
    with pytest.raises(WaitTimeoutError, match="was cancelled"):
        Task(sandbox, pipeline_id="pl_daily_revenue", timeout=0.5).execute()
    assert sandbox.run_cancels() == 1


def test_a_busy_pipeline_is_skipped_where_that_is_asked_for() -> None:
    sandbox = Sandbox(speed=0, run_busy="409")
    Planasonix(SECRET_OF_SANDBOX, transport=sandbox.transport()).pipelines.run("pl_daily_revenue")
    with pytest.raises(AirflowSkipException, match="pipeline pl_daily_revenue is busy"):
        Task(sandbox, pipeline_id="pl_daily_revenue", if_running="skip").execute()


def test_a_stored_try_of_the_version_before_is_found_again() -> None:
    """An upgrade while a sync waits: its ledger still says `connection_id`."""
    sandbox = Sandbox(speed=0)
    job = Planasonix(SECRET_OF_SANDBOX, transport=sandbox.transport()).connections.sync("conn_shop_orders")
    record = {"intent": "x", "operation": "connections.sync", "kind": "job", "connection_id": "conn_shop_orders"}
    record |= {"key": "plnx-1", "body": "{}", "run_id": job.id, "created_at": 1.0, "deadline_at": 2.0, "version": 1}
    task = Task(sandbox, pipeline_id="pl_daily_revenue")
    task.store[KEY] = {"version": 1, "intent": "x", "mark": {}, "record": record}
    assert TaskStateLedger(task.context(task.operator())).read() == Record.from_dict(record)
    assert RunHandle.of(Record.from_dict(record), reattached=True).connection_id == "conn_shop_orders"
