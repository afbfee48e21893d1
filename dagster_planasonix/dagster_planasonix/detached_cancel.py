"""The user's cancel of a detached run: there is no run left to terminate, so a job does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.names import unique_name

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix import Planasonix

_LOOK_BACK_SECONDS = 30 * 86_400.0
_UNKNOWN = (
    "the ledger of this Dagster instance does not name it as a job at {} that a step of the last thirty days started, "
    "and that no later one has replaced."
)


def build_planasonix_cancel_job(workspace: PlanasonixWorkspace, *, name: str = "planasonix_cancel") -> dg.JobDefinition:
    """A job that cancels jobs and backfills which Dagster started, named in its run config by their ids.

        ops: {planasonix_cancel_op: {config: {ids: [job_01jq8k2m3n4p5q6r7s8t9u0v1]}}}

    For detached runs: what a step waits for is cancelled by terminating its run. Only what stands in the ledger of this
    Dagster instance, of the last thirty days, is cancelled. The run fails where an id is another one, where the job may
    be somebody else's, and where the API refused, after the others were cancelled; the failure names each and says why.
    How the cancelled ones ended is told by the polling sensor.
    """
    plain = unique_name(name)

    @dg.op(
        name=f"{plain}_op",  # Dagster wants the names of jobs and ops to differ
        description="Cancels Planasonix jobs and backfills that Dagster started.",
        config_schema={"ids": dg.Field([str], description="Ids of jobs and backfills.")},
    )
    def cancel_op(context):  # Dagster reads annotations of `context` as objects, and here they are texts.
        import time

        from dagster_planasonix.ledger import started_runs
        from planasonix.errors import PlanasonixError
        from planasonix.runs import cancel_run

        client = workspace.get_client()
        started = started_runs(context.instance, since=time.time() - _LOOK_BACK_SECONDS)
        left: list[str] = []
        for run_id in context.op_config["ids"]:
            entry = started.get(run_id)
            handle = None if entry is None else entry.handle
            if entry is None or handle is None or handle.id != run_id or not _is_of(entry.owner.base_url, client):
                left.append(f"{run_id}: {_UNKNOWN.format(client.config.base_url)}")
                continue
            name = f"Planasonix {handle.kind} {handle.id}"
            try:
                status = cancel_run(client, handle)
            except PlanasonixError as error:
                left.append(f"{run_id}: {error.headline()}")
                continue
            if status is None:
                left.append(f"{run_id}: the API shows it as a job of another connection, or it may be somebody else's.")
            else:
                context.log.warning(f"{name} was asked to end (it is {status}).")
        if left:
            raise dg.Failure("Not cancelled:\n" + "\n".join(left), allow_retries=False)

    @dg.job(name=plain, executor_def=dg.in_process_executor)
    def cancel_job():
        cancel_op()

    return cancel_job


def _is_of(base_url: str | None, client: Planasonix) -> bool:
    return base_url in (None, client.config.base_url)
