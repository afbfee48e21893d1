"""Waits without a process: start a job, suspend the flow run, and read the job when the run is resumed.

Call these in a flow, not in a task. On resume Prefect runs the flow from its top: the same call finds its job in the
ledger, reads it anew, and returns its outcome, raises its report, or suspends again.

====================================================  =============================================================
where the call stands, and what it finds              then
====================================================  =============================================================
nothing was asked for yet                             the job is started, and looked at once
this try of the flow has asked for it: a resume       the job is looked at; nothing is started, also if it failed
an earlier try has (retry, Retry in the UI)           as everywhere: reattached, or begun anew if it failed
the look shows the end                                the outcome, without a suspension
the look fails, or the job is past its deadline       it is waited for here
the job runs                                          the run is suspended
no flow run, a task, a subflow, no deployment         it is waited for here, and one line of the log says why
Prefect refuses to suspend, or its API fails          the same
the job ended between look and suspension             the run is resumed at once
one of several cannot be started or found             the jobs of the others are cancelled, unless they are not
                                                      this run's or `cancel_on_cancellation` is false; then the
                                                      error is raised, whose hint tells what became of each
the same, and another try may well succeed            they go on: a retry of the flow finds them, and reconcile ends
                                                      them where none comes
====================================================  =============================================================

What resumes a suspended run: an event (`automations.resume_on_event`) or the flow `reconcile`, which is to be scheduled
in any case. What cancels the jobs of one that is cancelled: `automations.cleanup_on_cancel`, else `reconcile`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from planasonix.errors import ConfigurationError
from planasonix.runs import Outcome, RunHandle, raise_for_failure
from prefect_planasonix.arguments import credentials_of, options_from, request_for
from prefect_planasonix.deferred_attempt import DeferredAttempt
from prefect_planasonix.deferred_start import checked, look_at_all, together
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.suspend import asuspend, suspend, why_not

if TYPE_CHECKING:
    from datetime import datetime

    from planasonix.runs import RunRequest

ReturnWhen = Literal["all", "first"]


def run_sync_deferred(
    block_or_credentials: Any,
    connection_id: str | None = None,
    *,
    pipeline_id: str | None = None,
    priority: str | None = None,
    **options: Any,
) -> Outcome | None:
    """Sync a connection, with the flow run suspended while the job runs.

    :param block_or_credentials: a `PlanasonixSync` block, or a `PlanasonixCredentials` with `connection_id`.
    :param options: the names of `RunOptions`; they go before those of the block.

    Returns the outcome; None where `if_running` or `on_paused` says to skip. Raises `RunFailedError` or
    `RunCancelledError` with the report when the job did not end well, `WaitTimeoutError` past its deadline, and
    Prefect's `Pause`, which is to pass: never catch `BaseException` around it. Source: facts §1.1.

        @flow
        def nightly():
            outcome = run_sync_deferred(PlanasonixSync.load("orders"))
            print(outcome.rows_loaded)
    """
    source = block_or_credentials
    request = request_for("sync", source, connection_id=connection_id, pipeline_id=pipeline_id, priority=priority)
    return _one(run_deferred(source, [request], **options))


async def arun_sync_deferred(
    block_or_credentials: Any,
    connection_id: str | None = None,
    *,
    pipeline_id: str | None = None,
    priority: str | None = None,
    **options: Any,
) -> Outcome | None:
    """As `run_sync_deferred`, for an async flow."""
    source = block_or_credentials
    request = request_for("sync", source, connection_id=connection_id, pipeline_id=pipeline_id, priority=priority)
    return _one(await arun_deferred(source, [request], **options))


def run_backfill_deferred(
    block_or_credentials: Any,
    connection_id: str | None = None,
    *,
    start_at: datetime | str | None = None,
    end_at: datetime | str | None = None,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    **options: Any,
) -> Outcome | None:
    """Load the half-open window [`start_at`, `end_at`) as one backfill, with the flow run suspended while it runs.

    :param block_or_credentials: a `PlanasonixBackfill` block, or a `PlanasonixCredentials` with the rest.
    :param start_at: an aware datetime, or a text in ISO 8601 with an offset; `end_at` likewise.

    A window that depends on the clock must not move between suspension and resume: take it from the flow's parameters
    or from `runtime.flow_run.scheduled_start_time`. Returns and raises as `run_sync_deferred`.
    """
    source = block_or_credentials
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    return _one(
        run_deferred(source, [request_for("backfill", source, connection_id=connection_id, **window)], **options)
    )


async def arun_backfill_deferred(
    block_or_credentials: Any,
    connection_id: str | None = None,
    *,
    start_at: datetime | str | None = None,
    end_at: datetime | str | None = None,
    tables: Sequence[str] | None = None,
    priority: str | None = None,
    **options: Any,
) -> Outcome | None:
    """As `run_backfill_deferred`, for an async flow."""
    source = block_or_credentials
    window = {"start_at": start_at, "end_at": end_at, "tables": tables, "priority": priority}
    request = request_for("backfill", source, connection_id=connection_id, **window)
    return _one(await arun_deferred(source, [request], **options))


def run_deferred(
    block_or_credentials: Any, requests: Sequence[RunRequest], *, return_when: ReturnWhen = "all", **options: Any
) -> list[Outcome | RunHandle | None]:
    """Start several jobs, and suspend the flow run once for all of them.

    :param requests: `SyncRequest`, `BackfillRequest` or `PipelineRunRequest` of `planasonix.runs`, in any mixture.
    :param return_when: `all`: once the last has ended. `first`: once at least one has; those that run on are then
        `RunHandle`s, to be waited for with `wait_for_run`. Where the run cannot be suspended, all are waited for.

    All requests are checked before anything is started. Where one cannot be started all the same, the table of this
    module says what becomes of the jobs of the others.

    Returns, in the order of the requests, the outcomes; None where nothing was to be started. Raises the report of the
    first bad end once no job runs any more, with `first` at once; the rest as `run_sync_deferred`.
    """
    deferral = _Deferral(block_or_credentials, requests, return_when, options)
    ends = on_shared_loop(deferral.look)
    if deferral.is_over(ends):
        return deferral.told(ends)
    if (refusal := why_not(deferral.attempt.owner)) is None:
        running = [each for each in ends if isinstance(each, RunHandle)]
        try:
            suspend(running, still_wanted=lambda: on_shared_loop(deferral.still_runs, running))
        except RuntimeError as error:
            refusal = str(error)
        except Exception:
            raise
        except BaseException as cause:
            on_shared_loop(deferral.abandon, running, cause)
            raise
    deferral.say_that_it_waits(refusal)
    return deferral.told(on_shared_loop(deferral.wait, ends))


async def arun_deferred(
    block_or_credentials: Any, requests: Sequence[RunRequest], *, return_when: ReturnWhen = "all", **options: Any
) -> list[Outcome | RunHandle | None]:
    """As `run_deferred`, for an async flow."""
    deferral = _Deferral(block_or_credentials, requests, return_when, options)
    ends = await aon_shared_loop(deferral.look)
    if deferral.is_over(ends):
        return deferral.told(ends)
    if (refusal := why_not(deferral.attempt.owner)) is None:
        running = [each for each in ends if isinstance(each, RunHandle)]
        try:
            await asuspend(running, still_wanted=lambda: aon_shared_loop(deferral.still_runs, running))
        except RuntimeError as error:
            refusal = str(error)
        except Exception:
            raise
        except BaseException as cause:
            import anyio  # here, because only an interrupted call needs it

            with anyio.CancelScope(shield=True):
                await aon_shared_loop(deferral.abandon, running, cause)
            raise
    deferral.say_that_it_waits(refusal)
    return deferral.told(await aon_shared_loop(deferral.wait, ends))


class _Deferral:
    """One call for its requests."""

    def __init__(self, source: Any, requests: Sequence[RunRequest], return_when: str, options: dict[str, Any]) -> None:
        if return_when not in get_args(ReturnWhen):
            raise ConfigurationError(f"return_when must be all or first, got {return_when!r}.", field="return_when")
        self.attempt = DeferredAttempt(credentials_of(source), options_from(source, options))
        self._requests = checked(requests)
        self._return_when: Any = return_when

    async def look(self) -> list[Outcome | RunHandle | None]:
        """Start or find all, side by side, and look at each once. Where one fails, none is left without a caller."""
        return await look_at_all(self.attempt, self._requests, self._return_when)

    def is_over(self, ends: Sequence[object]) -> bool:
        running = sum(isinstance(each, RunHandle) for each in ends)
        return running == 0 or (self._return_when == "first" and running < len(ends))

    async def still_runs(self, running: Sequence[RunHandle]) -> bool:
        """Whether there is something to wait for. A job that cannot be read is waited for."""
        ended = await asyncio.gather(*(self.attempt.has_ended(each) for each in running))
        return not (any(ended) if self._return_when == "first" else all(ended))

    async def wait(self, ends: Sequence[Outcome | RunHandle | None]) -> list[Outcome | RunHandle | None]:
        """Wait here for all that run."""
        waits = [self._waited_for(number, each) for number, each in enumerate(ends)]
        return await together(waits)

    async def _waited_for(self, number: int, end: Outcome | RunHandle | None) -> Outcome | RunHandle | None:
        if not isinstance(end, RunHandle):
            return end
        return await self.attempt.wait(end, expected_tables=self._requests[number].expected_tables)

    async def abandon(self, running: Sequence[RunHandle], cause: BaseException) -> None:
        """The caller was interrupted while nobody waited: settle each as a wait would."""
        from prefect.exceptions import Pause

        if not isinstance(cause, Pause):
            await asyncio.gather(*(self.attempt.abandon(each, cause) for each in running))

    def say_that_it_waits(self, refusal: str | None) -> None:
        self.attempt.log("info", f"waiting in this process instead of suspending: {refusal}")

    def told(self, ends: list[Outcome | RunHandle | None]) -> list[Outcome | RunHandle | None]:
        for each in ends:
            if isinstance(each, Outcome):
                raise_for_failure(each)
        return ends


def _one(ends: list[Outcome | RunHandle | None]) -> Outcome | None:
    end = ends[0]
    return end if isinstance(end, Outcome) else None
