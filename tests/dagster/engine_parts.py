"""What the tests of the engine share: a workspace for a served sandbox, a job that loads one connection, its runs."""

from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from dagster_planasonix.attempt import Attempt
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.runs import Outcome, RunRequest, SyncRequest, raise_for_failure
from planasonix.sandbox import RunningSandbox

KEY = "plnx_live_canary_d4g5"
CONNECTION = "conn_shop_orders"
SYNC = SyncRequest(CONNECTION)


def workspace_of(served: RunningSandbox, **settings: Any) -> PlanasonixWorkspace:
    given: dict[str, Any] = {"job_url_template": served.job_url_template, "poll_interval_seconds": 0.05} | settings
    return PlanasonixWorkspace(api_key=KEY, base_url=served.url, **given)


def job_of(
    workspace: PlanasonixWorkspace,
    *,
    request: RunRequest = SYNC,
    retries: int = 0,
    after: Callable[[Any, Outcome | None], None] = lambda context, outcome: None,
) -> dg.JobDefinition:
    """A job of one plain op that loads the connection, and fails as the run does."""
    policy = dg.RetryPolicy(max_retries=retries) if retries else None

    @dg.op(name="load", retry_policy=policy)
    def load(context: dg.OpExecutionContext) -> None:
        outcome = Attempt(context, workspace, connection_name="shop").run(request)
        after(context, outcome)
        if outcome is not None:
            raise_for_failure(outcome)

    @dg.job(name="nightly", executor_def=dg.in_process_executor)
    def nightly() -> None:
        load()

    return nightly


def run(job: dg.JobDefinition, instance: dg.DagsterInstance, parent: str | None = None) -> dg.JobExecutionResult:
    """Run the job; with `parent` as a re-execution of that run, in its run group."""
    before = None if parent is None else instance.get_run_by_id(parent)
    root = None if before is None else before.root_run_id or parent
    return run_of(job, instance.create_run_for_job(job, parent_run_id=parent, root_run_id=root), instance)


def run_of(job: dg.JobDefinition, made: dg.DagsterRun, instance: dg.DagsterInstance) -> dg.JobExecutionResult:
    """Carry out a run that was created before, in this process."""
    return execute_run(InMemoryJob(job), made, instance)
