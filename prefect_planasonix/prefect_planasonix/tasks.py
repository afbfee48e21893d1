"""Tasks: start, wait, results, cancel. What passes between them is plain data.

Each has a twin for async flows, whose name begins with `a`. A `start_*` task that Prefect retries finds its own job
again, so that `retries=` is safe; so does a flow that is retried: it gets the job that it has started, or a new one
where that failed. So no result is kept: one that was would hand the failed job to each retry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Unpack

from prefect import task
from prefect.cache_policies import NO_CACHE

from planasonix.runs import Outcome, RunHandle, raise_for_failure
from prefect_planasonix.arguments import options_from, request_for
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.credentials import PlanasonixCredentials, require_credentials
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.option_arguments import OptionArguments
from prefect_planasonix.options import RunOptions

Handle = dict[str, Any]
"""A `planasonix.runs.RunHandle` as its `to_dict()`: kind, id, connection or pipeline, deadline. Holds no secret."""


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
    return on_shared_loop(_start, "sync", credentials, options, asked)


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
    return await aon_shared_loop(_start, "sync", credentials, options, asked)


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
    return on_shared_loop(_start, "backfill", credentials, options, {"connection_id": connection_id, **window})


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
    return await aon_shared_loop(_start, "backfill", credentials, options, {"connection_id": connection_id, **window})


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
    return on_shared_loop(_start, "pipeline", credentials, options, {"pipeline_id": pipeline_id, **asked})


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
    return await aon_shared_loop(_start, "pipeline", credentials, options, {"pipeline_id": pipeline_id, **asked})


@task(name="planasonix-wait-for-run", **_PLAIN)
def wait_for_run(
    credentials: PlanasonixCredentials,
    handle: Handle | str | None,
    *,
    expected_tables: Sequence[str] = (),
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """Wait for the end of a job that a `start_*` task returned, and return its outcome; None for None.

    :param handle: what that task returned, or the id of a job, backfill or pipeline run.
    :param expected_tables: the tables that the result should account for, loaded or not.
    :param options: the names of `RunOptions`; `timeout_seconds` counts from now where the handle is no more than an id.

    Raises `RunFailedError` or `RunCancelledError` with the report, `WaitTimeoutError` past its deadline, and the
    client's errors. Where the flow run is given up while it waits, the job is cancelled if it is ours. Example: see
    `start_sync`. Source: facts §1.2.
    """
    return on_shared_loop(_wait, credentials, handle, tuple(expected_tables), options)


@task(name="planasonix-wait-for-run", **_PLAIN)
async def await_for_run(
    credentials: PlanasonixCredentials,
    handle: Handle | str | None,
    *,
    expected_tables: Sequence[str] = (),
    **options: Unpack[OptionArguments],
) -> Outcome | None:
    """As `wait_for_run`, for an async flow."""
    return await aon_shared_loop(_wait, credentials, handle, tuple(expected_tables), options)


@task(name="planasonix-fetch-results", **_PLAIN)
def fetch_results(credentials: PlanasonixCredentials, handle: Handle | str) -> dict[str, Any]:
    """What a job that has ended has loaded: its outcome as JSON-ready data, good or bad, without a wait.

    :param handle: what a `start_*` task returned, or the id of a job, backfill or pipeline run.

    Returns a dict: `status`; `tables` with `name`, `state`, `rows_loaded`, `checksum`; `warnings`; `link`. Raises the
    client's errors, and `ConfigurationError` for what is no run. Source: facts §1.2.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.tasks import fetch_results

        print(fetch_results(PlanasonixCredentials.load("main"), "job_123")["rows_loaded"])
    """
    return on_shared_loop(_results, credentials, handle)


@task(name="planasonix-fetch-results", **_PLAIN)
async def afetch_results(credentials: PlanasonixCredentials, handle: Handle | str) -> dict[str, Any]:
    """As `fetch_results`, for an async flow."""
    return await aon_shared_loop(_results, credentials, handle)


@task(name="planasonix-cancel-run", **_PLAIN)
def cancel_run(credentials: PlanasonixCredentials, handle: Handle | str, *, timeout_seconds: float = 300.0) -> str:
    """Cancel a job, whoever started it, wait for its end, and return how it ended: it may end well all the same.

    :param handle: what a `start_*` task returned, or the id of a job, backfill or pipeline run.
    :param timeout_seconds: how long to wait for its end.

    Returns its status, such as `cancelled`. Raises the client's errors, `ConfigurationError` for what is no run, and
    `WaitTimeoutError` when it has not ended after `timeout_seconds`. Source: facts §1.2.

        from prefect_planasonix import PlanasonixCredentials
        from prefect_planasonix.tasks import cancel_run

        print(cancel_run(PlanasonixCredentials.load("main"), "job_123"))
    """
    return on_shared_loop(_end, credentials, handle, timeout_seconds)


@task(name="planasonix-cancel-run", **_PLAIN)
async def acancel_run(
    credentials: PlanasonixCredentials, handle: Handle | str, *, timeout_seconds: float = 300.0
) -> str:
    """As `cancel_run`, for an async flow."""
    return await aon_shared_loop(_end, credentials, handle, timeout_seconds)


async def _start(kind: Any, credentials: Any, options: OptionArguments, asked: dict[str, Any]) -> Handle | None:
    request = request_for(kind, credentials, **asked)
    handle = await Attempt(credentials, options_from(credentials, dict(options))).start(request)
    return None if handle is None else handle.to_dict()


async def _wait(
    credentials: Any, handle: Handle | str | None, expected_tables: tuple[str, ...], options: OptionArguments
) -> Outcome | None:
    run = RunHandle.named(handle)
    if run is None:
        return None
    attempt = Attempt(require_credentials(credentials), options_from(credentials, dict(options)))
    outcome = await attempt.wait(_whole(handle, run, attempt.options), expected_tables=expected_tables)
    raise_for_failure(outcome)
    return outcome


async def _results(credentials: Any, handle: Handle | str) -> dict[str, Any]:
    from planasonix.runs import aoutcome_of
    from prefect_planasonix.clients import shared_async_client

    client = shared_async_client(require_credentials(credentials))
    return (await aoutcome_of(client, _required(handle))).to_dict()


async def _end(credentials: Any, handle: Handle | str, timeout_seconds: float) -> str:
    import asyncio

    from planasonix.runs import end_run
    from prefect_planasonix.clients import shared_client

    run, client = _required(handle), shared_client(require_credentials(credentials))
    ended = await asyncio.to_thread(end_run, client, run.kind, run.id, timeout_seconds=timeout_seconds)
    return ended.status


def _required(handle: Handle | str) -> RunHandle:
    from planasonix.errors import ConfigurationError

    run = RunHandle.named(handle)
    if run is None:
        raise ConfigurationError("handle is None: nothing was started.", field="handle")
    return run


def _whole(handle: Any, named: RunHandle, options: RunOptions) -> RunHandle:
    """The handle with its times; one that has none gets its deadline from the options, from now."""
    import time

    if isinstance(handle, Mapping) and handle.get("deadline_at"):
        return RunHandle.from_dict(dict(handle))
    now = time.time()
    return RunHandle(**{**asdict(named), "created_at": now, "deadline_at": now + options.timeout_seconds})
