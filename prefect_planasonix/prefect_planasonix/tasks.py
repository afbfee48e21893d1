"""Tasks: start, wait, results, cancel. What passes between them is plain data.

Each has a twin for async flows, whose name begins with `a`. A `start_*` task that Prefect retries finds its own job
again, so that `retries=` is safe; so does a flow that is retried: it gets the job that it has started, or a new one
where that failed. So no result is kept: one that was would hand the failed job to each retry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from planasonix.runs import Outcome, RunHandle, raise_for_failure
from prefect_planasonix.arguments import options_from, request_for
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.credentials import PlanasonixCredentials
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop

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
    **options: Any,
) -> Handle | None:
    """Start a sync of a connection, or find the one that this call has started before, and do not wait for it.

    :param options: the names of `RunOptions`.

    Returns the job's handle; None where `if_running` or `on_paused` says to skip. Raises `ConfigurationError`, the
    client's errors, and `LedgerError` where Prefect's API cannot remember the job. Source: facts §1.1.

        @flow
        def nightly():
            handle = start_sync(PlanasonixCredentials.load("main"), "conn_shop_orders")
            print(wait_for_run(PlanasonixCredentials.load("main"), handle).rows_loaded)
    """
    request = request_for("sync", credentials, connection_id=connection_id, pipeline_id=pipeline_id, priority=priority)
    return _shown(on_shared_loop(_attempt(credentials, options).start, request))


@task(name="planasonix-start-sync", **_PLAIN)
async def astart_sync(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    pipeline_id: str | None = None,
    priority: str | None = None,
    **options: Any,
) -> Handle | None:
    """As `start_sync`, for an async flow."""
    request = request_for("sync", credentials, connection_id=connection_id, pipeline_id=pipeline_id, priority=priority)
    return _shown(await aon_shared_loop(_attempt(credentials, options).start, request))


@task(name="planasonix-start-backfill", **_PLAIN)
def start_backfill(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    start_at: datetime | str,
    end_at: datetime | str,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    **options: Any,
) -> Handle | None:
    """Start a backfill of the half-open window [`start_at`, `end_at`), both aware; as `start_sync`."""
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    request = request_for("backfill", credentials, connection_id=connection_id, **window)
    return _shown(on_shared_loop(_attempt(credentials, options).start, request))


@task(name="planasonix-start-backfill", **_PLAIN)
async def astart_backfill(
    credentials: PlanasonixCredentials,
    connection_id: str,
    *,
    start_at: datetime | str,
    end_at: datetime | str,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    **options: Any,
) -> Handle | None:
    """As `start_backfill`, for an async flow."""
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    request = request_for("backfill", credentials, connection_id=connection_id, **window)
    return _shown(await aon_shared_loop(_attempt(credentials, options).start, request))


@task(name="planasonix-start-pipeline-run", **_PLAIN)
def start_pipeline_run(
    credentials: PlanasonixCredentials,
    pipeline_id: str,
    *,
    environment_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    **options: Any,
) -> Handle | None:
    """Start a run of a pipeline; as `start_sync`. Never put secrets into `variables`. Source: facts §1.4."""
    request = request_for(
        "pipeline", credentials, pipeline_id=pipeline_id, environment_id=environment_id, variables=variables
    )
    return _shown(on_shared_loop(_attempt(credentials, options).start, request))


@task(name="planasonix-start-pipeline-run", **_PLAIN)
async def astart_pipeline_run(
    credentials: PlanasonixCredentials,
    pipeline_id: str,
    *,
    environment_id: str | None = None,
    variables: Mapping[str, Any] | None = None,
    **options: Any,
) -> Handle | None:
    """As `start_pipeline_run`, for an async flow."""
    request = request_for(
        "pipeline", credentials, pipeline_id=pipeline_id, environment_id=environment_id, variables=variables
    )
    return _shown(await aon_shared_loop(_attempt(credentials, options).start, request))


@task(name="planasonix-wait-for-run", **_PLAIN)
def wait_for_run(credentials: PlanasonixCredentials, handle: Handle | str | None, **options: Any) -> Outcome | None:
    """Wait for the end of a job that a `start_*` task returned, and return its outcome; None for None.

    Raises `RunFailedError` or `RunCancelledError` with the report, and `WaitTimeoutError` past its deadline. Where the
    flow run is given up while it waits, the job is cancelled if it is ours.
    """
    run = RunHandle.named(handle)
    if run is None:
        return None
    outcome = on_shared_loop(_attempt(credentials, options).wait, _whole(handle, run, options))
    raise_for_failure(outcome)
    return outcome


@task(name="planasonix-wait-for-run", **_PLAIN)
async def await_for_run(
    credentials: PlanasonixCredentials, handle: Handle | str | None, **options: Any
) -> Outcome | None:
    """As `wait_for_run`, for an async flow."""
    run = RunHandle.named(handle)
    if run is None:
        return None
    outcome = await aon_shared_loop(_attempt(credentials, options).wait, _whole(handle, run, options))
    raise_for_failure(outcome)
    return outcome


@task(name="planasonix-fetch-results", **_PLAIN)
def fetch_results(credentials: PlanasonixCredentials, handle: Handle | str) -> dict[str, Any]:
    """What a job that has ended has loaded: its outcome as JSON-ready data, good or bad, without a wait.

    `tables` are its tables with `name`, `state`, `rows_loaded`, `checksum`; `warnings` its warnings. Raises the
    client's errors, and `ConfigurationError` for what is no run.
    """
    from planasonix.runs import outcome_of
    from prefect_planasonix.clients import shared_client

    return outcome_of(shared_client(credentials), _required(handle)).to_dict()


@task(name="planasonix-fetch-results", **_PLAIN)
async def afetch_results(credentials: PlanasonixCredentials, handle: Handle | str) -> dict[str, Any]:
    """As `fetch_results`, for an async flow."""
    return await aon_shared_loop(_results, credentials, _required(handle))


@task(name="planasonix-cancel-run", **_PLAIN)
def cancel_run(credentials: PlanasonixCredentials, handle: Handle | str, *, timeout_seconds: float = 300.0) -> str:
    """Cancel a job, whoever started it, wait for its end, and return how it ended: it may end well all the same.

    Raises the client's errors, and `WaitTimeoutError` when it has not ended after `timeout_seconds`.
    """
    from planasonix.runs import end_run
    from prefect_planasonix.clients import shared_client

    run = _required(handle)
    return end_run(shared_client(credentials), run.kind, run.id, timeout_seconds=timeout_seconds).status


@task(name="planasonix-cancel-run", **_PLAIN)
async def acancel_run(
    credentials: PlanasonixCredentials, handle: Handle | str, *, timeout_seconds: float = 300.0
) -> str:
    """As `cancel_run`, for an async flow."""
    return await aon_shared_loop(_end, credentials, _required(handle), timeout_seconds)


async def _results(credentials: PlanasonixCredentials, run: RunHandle) -> dict[str, Any]:
    from planasonix.runs import aoutcome_of
    from prefect_planasonix.clients import shared_async_client

    return (await aoutcome_of(shared_async_client(credentials), run)).to_dict()


async def _end(credentials: PlanasonixCredentials, run: RunHandle, timeout_seconds: float) -> str:
    import asyncio

    from planasonix.runs import end_run
    from prefect_planasonix.clients import shared_client

    client = shared_client(credentials)
    ended = await asyncio.to_thread(end_run, client, run.kind, run.id, timeout_seconds=timeout_seconds)
    return ended.status


def _attempt(credentials: PlanasonixCredentials, options: dict[str, Any]) -> Attempt:
    return Attempt(credentials, options_from(credentials, options))


def _shown(handle: RunHandle | None) -> Handle | None:
    return None if handle is None else handle.to_dict()


def _required(handle: Handle | str) -> RunHandle:
    from planasonix.errors import ConfigurationError

    run = RunHandle.named(handle)
    if run is None:
        raise ConfigurationError("handle is None: nothing was started.", field="handle")
    return run


def _whole(handle: Any, named: RunHandle, options: dict[str, Any]) -> RunHandle:
    """The handle with its times; one that has none gets its deadline from the options, from now."""
    import time

    if isinstance(handle, Mapping) and handle.get("deadline_at"):
        return RunHandle.from_dict(dict(handle))
    now = time.time()
    timeout = options_from(None, options).timeout_seconds
    return RunHandle(**{**asdict(named), "created_at": now, "deadline_at": now + timeout})
