"""Tasks: start, wait, results, cancel. What passes between them is plain data.

Each has a twin for async flows, whose name begins with `a`. A `start_*` task that Prefect retries finds its own job
again, so that `retries=` is safe; so does a flow that is retried: it gets the job that it has started, or a new one
where that failed. So no result is kept: one that was would hand the failed job to each retry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack

from prefect import task
from prefect.cache_policies import NO_CACHE

from planasonix.runs import Outcome
from planasonix.watch.protocols import Kind
from prefect_planasonix import task_bodies as bodies
from prefect_planasonix.credentials import PlanasonixCredentials
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.option_arguments import OptionArguments
from prefect_planasonix.task_bodies import Handle

_PLAIN: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@task(name="planasonix-start-sync", **_PLAIN)
def start_sync(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    pipeline_id: str | None = None,
    priority: str | None = None,
    **options: Unpack[OptionArguments],
) -> Handle | None:
    """Start a sync of a connection, or find the one that this call has started before, and do not wait for it.

    :param pipeline_id: the pipeline that the sync is to be part of.
    :param priority: as the API names it; None leaves it to the API.
    :param options: the names of `RunOptions`; `timeout_seconds` is the job's deadline, from its creation.

    Returns the job's handle; None where `if_running` or `on_paused` says to skip. Raises `ConfigurationError`, the
    client's errors, and `LedgerError` where Prefect's API cannot remember the job. Source: facts §1.1.

        from prefect import flow
        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.tasks import start_sync, wait_for_run

        @flow
        def nightly():
            account = PlanasonixCredentials.load("main")
            handle = start_sync(account, "conn_shop_orders")
            print(wait_for_run(account, handle).rows_loaded)
    """
    asked = {"connection_id": connection_id, "pipeline_id": pipeline_id, "priority": priority}
    return on_shared_loop(bodies.start, "sync", credentials, options, asked)


@task(name="planasonix-start-sync", **_PLAIN)
async def astart_sync(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    pipeline_id: str | None = None,
    priority: str | None = None,
    **options: Unpack[OptionArguments],
) -> Handle | None:
    """As `start_sync`, for an async flow."""
    asked = {"connection_id": connection_id, "pipeline_id": pipeline_id, "priority": priority}
    return await aon_shared_loop(bodies.start, "sync", credentials, options, asked)


@task(name="planasonix-start-backfill", **_PLAIN)
def start_backfill(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    start_at: datetime | str,
    end_at: datetime | str,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    **options: Unpack[OptionArguments],
) -> Handle | None:
    """Start a backfill of the half-open window [`start_at`, `end_at`), and do not wait for it.

    :param start_at: an aware datetime, or a text in ISO 8601 with an offset; `end_at` likewise.
    :param tables: only these tables of the connection; None: all.
    :param options: the names of `RunOptions`.

    Returns and raises as `start_sync`. Source: facts §1.1.

        from prefect import flow
        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.tasks import start_backfill, wait_for_run

        @flow
        def load_a_day():
            account = PlanasonixCredentials.load("main")
            window = {"start_at": "2026-01-01T00:00Z", "end_at": "2026-01-02T00:00Z"}
            wait_for_run(account, start_backfill(account, "conn_shop_orders", **window))
    """
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    return on_shared_loop(bodies.start, "backfill", credentials, options, {"connection_id": connection_id, **window})


@task(name="planasonix-start-backfill", **_PLAIN)
async def astart_backfill(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    start_at: datetime | str,
    end_at: datetime | str,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    **options: Unpack[OptionArguments],
) -> Handle | None:
    """As `start_backfill`, for an async flow."""
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    return await aon_shared_loop(
        bodies.start, "backfill", credentials, options, {"connection_id": connection_id, **window}
    )


@task(name="planasonix-start-pipeline-run", **_PLAIN)
def start_pipeline_run(
    credentials: PlanasonixCredentials,
    pipeline_id: str,
    *,
    environment_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    forward_context: bool = False,
    **options: Unpack[OptionArguments],
) -> Handle | None:
    """Start a run of a pipeline, and do not wait for it.

    :param environment_id: where it runs; None: as the credentials say.
    :param variables: the pipeline's variables by their names. Never put secrets there.
    :param forward_context: send who started the run as variables, too.
    :param options: the names of `RunOptions`.

    Returns and raises as `start_sync`. Source: facts §1.4.

        from prefect import flow
        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.tasks import start_pipeline_run, wait_for_run

        @flow
        def revenue():
            account = PlanasonixCredentials.load("main")
            wait_for_run(account, start_pipeline_run(account, "pl_daily_revenue"))
    """
    asked = {"environment_id": environment_id, "variables": variables, "forward_context": forward_context}
    return on_shared_loop(bodies.start, "pipeline", credentials, options, {"pipeline_id": pipeline_id, **asked})


@task(name="planasonix-start-pipeline-run", **_PLAIN)
async def astart_pipeline_run(
    credentials: PlanasonixCredentials,
    pipeline_id: str,
    *,
    environment_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    forward_context: bool = False,
    **options: Unpack[OptionArguments],
) -> Handle | None:
    """As `start_pipeline_run`, for an async flow."""
    asked = {"environment_id": environment_id, "variables": variables, "forward_context": forward_context}
    return await aon_shared_loop(bodies.start, "pipeline", credentials, options, {"pipeline_id": pipeline_id, **asked})


@task(name="planasonix-wait-for-run", **_PLAIN)
def wait_for_run(
    credentials: PlanasonixCredentials,
    handle: Handle | str | None,
    *,
    kind: Kind = "job",
    expected_tables: Sequence[str] = (),
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """Wait for the end of a job that a `start_*` task returned, and return its outcome; None for None.

    :param handle: what that task returned, or the id of a job, backfill or pipeline run.
    :param kind: what a bare id names: `job`, `backfill` or `run`.
    :param expected_tables: the tables that the result should account for, loaded or not.
    :param options: the names of `RunOptions`; `timeout_seconds` counts from now where the handle is no more than an id.

    Raises `RunFailedError` or `RunCancelledError` with the report, `WaitTimeoutError` past its deadline, and the
    client's errors. Where the flow run is given up while it waits, the job is cancelled if it is ours. Example: see
    `start_sync`. Source: facts §1.2.
    """
    return on_shared_loop(bodies.wait, credentials, handle, kind, tuple(expected_tables), options)


@task(name="planasonix-wait-for-run", **_PLAIN)
async def await_for_run(
    credentials: PlanasonixCredentials,
    handle: Handle | str | None,
    *,
    kind: Kind = "job",
    expected_tables: Sequence[str] = (),
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """As `wait_for_run`, for an async flow."""
    return await aon_shared_loop(bodies.wait, credentials, handle, kind, tuple(expected_tables), options)


@task(name="planasonix-fetch-results", **_PLAIN)
def fetch_results(credentials: PlanasonixCredentials, handle: Handle | str, *, kind: Kind = "job") -> dict[str, Any]:
    """What a job that has ended has loaded: its outcome as JSON-ready data, good or bad, without a wait.

    :param handle: what a `start_*` task returned, or the id of a job, backfill or pipeline run.
    :param kind: what a bare id names: `job`, `backfill` or `run`.

    Returns a dict: `status`; `tables` with `name`, `state`, `rows_loaded`, `checksum`; `warnings`; `link`. Raises the
    client's errors, and `ConfigurationError` for what is no run. Source: facts §1.2.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.tasks import fetch_results

        print(fetch_results(PlanasonixCredentials.load("main"), "job_123")["rows_loaded"])
    """
    return on_shared_loop(bodies.results, credentials, handle, kind)


@task(name="planasonix-fetch-results", **_PLAIN)
async def afetch_results(
    credentials: PlanasonixCredentials, handle: Handle | str, *, kind: Kind = "job"
) -> dict[str, Any]:
    """As `fetch_results`, for an async flow."""
    return await aon_shared_loop(bodies.results, credentials, handle, kind)


@task(name="planasonix-cancel-run", **_PLAIN)
def cancel_run(
    credentials: PlanasonixCredentials, handle: Handle | str, *, kind: Kind = "job", timeout_seconds: float = 300.0
) -> str:
    """Cancel a job, whoever started it, wait for its end, and return how it ended: it may end well all the same.

    :param handle: what a `start_*` task returned, or the id of a job, backfill or pipeline run.
    :param kind: what a bare id names: `job`, `backfill` or `run`.
    :param timeout_seconds: how long to wait for its end.

    Returns its status, such as `cancelled`. Raises the client's errors, `ConfigurationError` for what is no run, and
    `WaitTimeoutError` when it has not ended after `timeout_seconds`. Source: facts §1.2.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.tasks import cancel_run

        print(cancel_run(PlanasonixCredentials.load("main"), "job_123"))
    """
    return on_shared_loop(bodies.end, credentials, handle, kind, timeout_seconds)


@task(name="planasonix-cancel-run", **_PLAIN)
async def acancel_run(
    credentials: PlanasonixCredentials, handle: Handle | str, *, kind: Kind = "job", timeout_seconds: float = 300.0
) -> str:
    """As `cancel_run`, for an async flow."""
    return await aon_shared_loop(bodies.end, credentials, handle, kind, timeout_seconds)
