"""The retry policy as Airflow's own task runner asks it."""

import json
import pickle
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, RetryAction
from airflow.sdk.execution_time import task_runner

from airflow_provider_planasonix.events import WaitEnd
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.retry_policy import PlanasonixRetryPolicy
from planasonix.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RunFailedError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)

HANDLE = {"kind": "job", "id": "job_1"}


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str, **values: Any) -> None:
        self.lines.append(f"{text} {values}")

    def exception(self, text: str, **values: Any) -> None:
        raise AssertionError(text)


def decide(error: BaseException, *, try_number: int = 1, **settings: Any) -> Any:
    """What Airflow makes of it: its task runner swallows a policy's own mistakes, so the log is looked at too."""
    task = SimpleNamespace(retry_policy=PlanasonixRetryPolicy(**settings))
    ti = SimpleNamespace(task=task, try_number=try_number, _ti_context_from_server=SimpleNamespace(max_tries=3))
    log = Log()
    decision = task_runner._evaluate_retry_policy(ti, error, log)
    assert bool(log.lines) == bool(decision.reason)
    return decision


def test_what_cannot_heal_fails_at_once() -> None:
    decision = decide(PermissionDeniedError("no", status_code=403))
    assert decision.action is RetryAction.FAIL
    assert decision.reason == "PermissionDeniedError: the key may not do this"


def test_what_passes_is_tried_again_later() -> None:
    decision = decide(ConflictError("busy", status_code=409), try_number=2)
    assert decision.action is RetryAction.RETRY
    assert timedelta(seconds=120) <= decision.retry_delay <= timedelta(seconds=150)


def test_a_failed_job_follows_the_settings_of_the_task() -> None:
    error = RunFailedError("report", kind="job", run_id="job_1", outcome_data={"error_code": "bad_credentials"})
    decision = decide(error)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, None)
    assert decide(error, never_heal=["bad_credentials"]).action is RetryAction.FAIL


def test_an_error_of_the_dag_is_left_to_airflow() -> None:
    assert decide(ZeroDivisionError()).action is RetryAction.DEFAULT


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (AuthenticationError("no", status_code=401), RetryAction.FAIL),
        (PermissionDeniedError("no", status_code=403), RetryAction.FAIL),
        (ConfigurationError("no", field="host"), RetryAction.FAIL),
        (ServerError("down", status_code=503), RetryAction.RETRY),
        (TransportError("lost"), RetryAction.RETRY),
        (WaitTimeoutError("late"), RetryAction.RETRY),
        (OSError("the secrets backend is away"), RetryAction.RETRY),
    ],
)
def test_an_error_of_the_trigger_is_judged_as_on_a_worker(error: Exception, action: RetryAction) -> None:
    payload = json.loads(json.dumps(WaitEnd.gave_up(HANDLE, error).to_payload()))
    raised = WaitEnd.from_payload(payload).as_error()
    assert decide(raised).action is action
    assert "a retry of this task waits for it again" in str(raised)


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no", status_code=401),
        PermissionDeniedError("no", status_code=403),
        NotFoundError("gone", status_code=404),
        ConfigurationError("the connection names another host now", field="host"),
    ],
)
def test_a_wait_that_gave_up_on_a_job_of_this_task_is_taken_up_again(error: Exception) -> None:
    event = WaitEnd.gave_up({**HANDLE, "intent": "airflow_1"}, error).to_payload()
    decision = decide(WaitEnd.from_payload(json.loads(json.dumps(event))).as_error())
    assert decision.action is RetryAction.RETRY
    assert timedelta(seconds=300) <= decision.retry_delay <= timedelta(seconds=375)


def test_an_error_that_needs_more_than_a_text_is_one_of_ours_all_the_same() -> None:
    error = RunFailedError("report", kind="job", run_id="job_1")
    assert "report" in str(WaitEnd.gave_up(HANDLE, error).as_error())


@pytest.mark.parametrize("codes", ["bad_credentials", [""], [1], [None]])
def test_wrong_codes_are_refused_at_parse(codes: Any) -> None:
    with pytest.raises(ConfigurationError, match="never_heal"):
        PlanasonixRetryPolicy(never_heal=codes)


def test_it_comes_back_from_every_way_that_airflow_may_send_it() -> None:
    policy = PlanasonixRetryPolicy(never_heal=["b", "a"])
    assert PlanasonixRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize()))) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert repr(policy) == "PlanasonixRetryPolicy(never_heal=['a', 'b'])"


def test_operators_mapped_or_not_take_it() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    policy = PlanasonixRetryPolicy()
    with DAG("d", schedule=None, default_args={"retry_policy": policy}) as dag:
        one = PlanasonixSyncOperator(task_id="one", connection_id="conn_1")
        many = PlanasonixSyncOperator.partial(task_id="many").expand(connection_id=["a", "b"])
    assert one.retry_policy is policy
    assert many.retry_policy is policy
    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("one").has_retry_policy
