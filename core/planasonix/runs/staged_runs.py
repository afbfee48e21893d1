"""Staged backfills for callers with a thread of their own: rounds for orchestrators, one blocking call for scripts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from planasonix.errors import NotFoundError, PlanasonixError, WaitTimeoutError
from planasonix.runs.blocking import busy_pause_seconds
from planasonix.runs.book import Book, MemoryBook
from planasonix.runs.decide import Policy
from planasonix.runs.drivers import Log, perform
from planasonix.runs.effects import Post, Steps
from planasonix.runs.handle import RunHandle
from planasonix.runs.intent import new_intent
from planasonix.runs.provenance import Provenance
from planasonix.runs.staged import Advance
from planasonix.runs.staged_cancel import cancel_active
from planasonix.runs.staged_plan import wish_of
from planasonix.runs.staged_progress import StagedProgress
from planasonix.runs.staged_result import StagedOutcome, raise_for_stages, read_outcome
from planasonix.runs.stages import BookSteps, ClaimedBesides, ReadEntry, StagedBackfill, WriteEntry
from planasonix.watch import Interval
from planasonix.watch.patience import Patience
from planasonix.watch.protocols import ENDED_PHASES, reader_of

if TYPE_CHECKING:
    from planasonix.client import Planasonix

T = TypeVar("T")
_PAUSE_SECONDS = 1.0


def advance_stages(
    client: Planasonix,
    asked: StagedBackfill,
    *,
    book: Book,
    intent: str,
    attempt: str,
    provenance: Provenance,
    policy: Policy | None = None,
    metadata: dict[str, object] | None = None,
    log: Log | None = None,
    stop: threading.Event | None = None,
) -> StagedProgress:
    """One round: read what ended, start what may start; see `runs.staged`. Any process may take the next one.

    `intent` is the wish's token, `attempt` the orchestrator's try of it, in any words. Once `stop` is set, the round
    ends with `KeyboardInterrupt`, but never between a POST and its answer.
    """
    policy = policy or Policy(idempotency=client.config.idempotency)
    template = client.config.job_url_template
    advance = Advance(asked, intent, attempt, provenance, policy, time.time, metadata, template)
    return perform(client, _with_book(advance.steps(), book, stop), log=log)


def staged_outcome(book: Book, asked: StagedBackfill, *, intent: str) -> StagedOutcome:
    """What the book tells of the wish; asks nothing of the API."""
    steps = read_outcome(asked, intent)
    try:
        effect = next(steps)
        while True:
            effect = steps.send(_of_book(effect, book))
    except StopIteration as end:
        return end.value


def cancel_stages(
    client: Planasonix,
    book: Book,
    *,
    policy: Policy | None = None,
    patience_seconds: float = 60.0,
    log: Log | None = None,
) -> list[str]:
    """Cancel every active stage that is ours, and return a sentence on each. Raises only what the book raises."""
    policy = policy or Policy(idempotency=client.config.idempotency)
    steps = cancel_active(policy, time.time, patience_seconds=patience_seconds)
    return perform(client, _with_book(steps, book), log=log)


def wait_for_any(
    client: Planasonix,
    handles: Sequence[RunHandle],
    *,
    interval: Interval | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Block until one of the runs has ended, is missing for good, or has passed its deadline: a round tells which.

    Raises `AuthenticationError` or `PermissionDeniedError` when the key is refused for five minutes, and
    `KeyboardInterrupt` once `stop` is set.
    """
    interval, rng = interval or Interval(), random.Random()
    patience = [Patience() for _ in handles]
    looking = client.with_options(max_tries=1, deadline_seconds=20.0)
    while True:
        for handle, patient in zip(handles, patience, strict=True):
            try:
                run = reader_of(looking, handle.kind).get(handle.id)
            except PlanasonixError as error:
                if given_up := patient.failed(error, time.monotonic()):
                    if isinstance(given_up, NotFoundError):
                        return
                    raise given_up from error
            else:
                patient.answered()
                if run.phase in ENDED_PHASES:
                    return
        left = min(handle.deadline_at for handle in handles) - time.time()
        if left <= 0:
            return
        pause = min(interval.pause(handle.age_seconds(time.time()), rng) for handle in handles)
        _pause(min(left, pause), stop)


def run_stages_to_end(
    client: Planasonix,
    asked: StagedBackfill,
    *,
    book: Book | None = None,
    intent: str | None = None,
    attempt: str | None = None,
    provenance: Provenance | None = None,
    policy: Policy | None = None,
    metadata: dict[str, object] | None = None,
    interval: Interval | None = None,
    on_progress: Callable[[StagedProgress], None] | None = None,
    log: Log | None = None,
    stop: threading.Event | None = None,
) -> StagedOutcome:
    """Load all stages in one blocking call, and return what became of them; `unfinished` if `if_running="skip"` did.

    A call with the same `book` goes on where an earlier one failed or was killed: what is loaded is not loaded again,
    what still runs is waited for. Without `intent` the book tells whether this is a new wish. Raises
    `RunFailedError` or `RunCancelledError` with the report, once no stage runs any more. Whatever else interrupts the
    wait leaves the stages to the next call; without a book there is none, and they are cancelled.

    >>> from planasonix import Planasonix
    >>> from planasonix.runs import BackfillRequest, StagedBackfill, plan_stages, run_stages_to_end
    >>> from planasonix.sandbox import Sandbox
    >>> client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=1000).transport())
    >>> stages = plan_stages("2026-01-01T00:00Z", "2026-03-01T00:00Z", "1mo")
    >>> request = BackfillRequest("conn_shop_orders", stages[0].start_at, stages[-1].end_at)
    >>> run_stages_to_end(client, StagedBackfill(request, stages)).status
    'succeeded'
    """
    policy = policy or Policy(idempotency=client.config.idempotency)
    only_call = book is None
    book = book or MemoryBook()
    intent = intent or wish_of(book, asked)
    attempt = attempt or new_intent()
    provenance = provenance or Provenance("python", "python")
    before: tuple[object, ...] | None = None
    try:
        while True:
            progress = advance_stages(
                client,
                asked,
                book=book,
                intent=intent,
                attempt=attempt,
                provenance=provenance,
                policy=policy,
                metadata=metadata,
                log=log,
                stop=stop,
            )
            if on_progress is not None:
                on_progress(progress)
            if progress.ended:
                break
            now = (progress.done, progress.failed, [handle.id for handle in progress.active])
            if now == before:
                # A run was seen to end, and this round could not read that yet.
                _pause(_PAUSE_SECONDS, stop)
            before = now
            if progress.active:
                wait_for_any(client, progress.active, interval=interval, stop=stop)
            else:
                _wait_while_busy(client, progress, policy, asked.request.connection_id, stop)
    except BaseException:
        if only_call:
            for sentence in cancel_stages(client, book, policy=policy):
                if log is not None:
                    log("warning", sentence)
        raise
    outcome = staged_outcome(book, asked, intent=intent)
    raise_for_stages(outcome)
    return outcome


def busy_until(progress: StagedProgress, policy: Policy, connection_id: str) -> float:
    """Until when a busy connection is waited for, in seconds since the epoch; raises `WaitTimeoutError` past it."""
    until = (progress.busy_since or time.time()) + policy.timeout_seconds
    if time.time() >= until:
        raise WaitTimeoutError(
            f"Connection {connection_id} was busy for {policy.timeout_seconds:g} s: no stage was started meanwhile.",
            pending=[],
            hint="Wait for the other job, or set if_running.",
        )
    return until


def _wait_while_busy(
    client: Planasonix, progress: StagedProgress, policy: Policy, connection_id: str, stop: threading.Event | None
) -> None:
    until = busy_until(progress, policy, connection_id)
    now = time.time()
    if progress.busy_run_id is None:
        _pause(min(until - now, busy_pause_seconds(now - (progress.busy_since or now))), stop)
        return
    other = RunHandle(progress.busy_kind, progress.busy_run_id, connection_id, False, now, until, intent="")
    wait_for_any(client, [other], stop=stop)


def _pause(seconds: float, stop: threading.Event | None) -> None:
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise KeyboardInterrupt


def _with_book(steps: BookSteps[T], book: Book, stop: threading.Event | None = None) -> Steps[T]:
    """The steps with what they ask of the book answered, so that a driver of the run engine can do the rest."""
    try:
        effect = next(steps)
        while True:
            try:
                if stop is not None and stop.is_set() and not isinstance(effect, Post):
                    # What was written before a POST says that it may have been sent: so the POST goes first.
                    raise KeyboardInterrupt
                if isinstance(effect, ReadEntry | WriteEntry | ClaimedBesides):
                    answer = _of_book(effect, book)
                else:
                    answer = yield effect
            except Exception as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        return end.value


def _of_book(effect: object, book: Book) -> object:
    match effect:
        case ReadEntry(name):
            return book.read(name)
        case WriteEntry(name, entry):
            return book.write(name, entry)
        case ClaimedBesides(run_ids, name):
            return book.claimed(run_ids, besides=name)
        case _:
            raise TypeError(f"not an effect of a book: {effect!r}")
