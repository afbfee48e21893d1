"""Several jobs that are started for one suspension: all of them, or none that nobody would wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.runs import BackfillRequest, Outcome, PipelineRunRequest, RunHandle, RunRequest, SyncRequest
from planasonix.runs.target import target_text
from prefect_planasonix.deferred_attempt import DeferredAttempt

T = TypeVar("T")


def checked(requests: Sequence[RunRequest]) -> list[RunRequest]:
    """The requests as a list. Raises `ConfigurationError` where there is none, or for what is no request."""
    if isinstance(requests, str) or not isinstance(requests, Sequence) or not requests:
        raise ConfigurationError("run_deferred needs a list with at least one request.", field="requests")
    for number, each in enumerate(requests):
        if not isinstance(each, SyncRequest | BackfillRequest | PipelineRunRequest):
            raise ConfigurationError(
                f"requests[{number}] is no request, but a {type(each).__name__}.",
                field=f"requests[{number}]",
                hint="Give a SyncRequest, BackfillRequest or PipelineRunRequest of planasonix.runs.",
            )
    return list(requests)


async def look_at_all(
    attempt: DeferredAttempt, requests: Sequence[RunRequest], return_when: str
) -> list[Outcome | RunHandle | None]:
    """Start or find all, side by side, and look at each once.

    Raises the first error once it is settled what becomes of the jobs of the others; its hint says so. They go on where
    all errors may pass, such as that of a server that is away: a retry of the flow finds them.
    """
    looks = [asyncio.ensure_future(attempt.look(each, return_when=return_when)) for each in requests]
    await _until_done(looks)
    errors = [look.exception() for look in looks]
    first = next((error for error in errors if error is not None), None)
    if first is None:
        return [look.result() for look in looks]
    running = [look.result() for look, error in zip(looks, errors, strict=True) if error is None]
    for_good = any(error is not None and not _may_pass(error) for error in errors)
    settled = await asyncio.gather(
        *(attempt.withdraw(each, for_good=for_good) for each in running if isinstance(each, RunHandle))
    )
    failed = [
        target_text(request.kind, request.target_id)
        for request, error in zip(requests, errors, strict=True)
        if error is not None
    ]
    told = " ".join([f"Could not be started or found: {', '.join(failed)}.", *settled])
    attempt.log("warning", told)
    if isinstance(first, PlanasonixError):
        first.hint = f"{first.hint} {told}" if first.hint else told
    raise first


def _may_pass(error: BaseException) -> bool:
    # A start that nobody can tell of may have taken effect: its retry finds out.
    return isinstance(error, PlanasonixError) and (error.retryable or error.outcome == "unknown")


async def together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All of them; the first error is raised once none is under way any more, so that no start is broken off."""
    tasks = [asyncio.ensure_future(each) for each in calls]
    await _until_done(tasks)
    return [task.result() for task in tasks]


async def _until_done(tasks: Sequence[asyncio.Future[Any]]) -> None:
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
