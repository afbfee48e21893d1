"""Staged backfills for callers with a thread of their own: rounds for orchestrators, one blocking call for scripts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from planasonix.errors import WaitTimeoutError
from planasonix.runs.book import Book, MemoryBook
from planasonix.runs.bounded import perform_within
from planasonix.runs.decide import Policy
from planasonix.runs.drivers import Log, perform
from planasonix.runs.effects import Post
from planasonix.runs.intent import new_intent
from planasonix.runs.provenance import Provenance
from planasonix.runs.staged.cancel import cancel_active
from planasonix.runs.staged.plan import wish_of
from planasonix.runs.staged.progress import StagedProgress
from planasonix.runs.staged.result import StagedOutcome, raise_for_stages, read_outcome
from planasonix.runs.staged.round import Advance
from planasonix.runs.staged.wish import ClaimedBesides, ReadEntry, StagedBackfill, WriteEntry
from planasonix.runs.waiting import leaves_it_running, pause, wait_for_any, wait_while_taken
from planasonix.watch import Interval

if TYPE_CHECKING:
    from planasonix.client import Planasonix

T = TypeVar("T")
E = TypeVar("E")


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
    """One round: read what ended, start what may start; see `runs.staged.round`. Any process may take the next one.

    `intent` is the wish's token, `attempt` the orchestrator's try of it, in any words. Once `stop` is set, the round
    ends with `KeyboardInterrupt`, but never before the answer to a POST is in the book.
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
    """Cancel every active stage that is ours, and return a sentence on each. Raises only what the book raises.

    It takes `patience_seconds`, and a second more, whatever the API does.
    """
    policy = policy or Policy(idempotency=client.config.idempotency)
    steps = cancel_active(policy, time.time, patience_seconds=patience_seconds)
    return perform_within(client, _with_book(steps, book), patience_seconds, log=log)


def wait_for_progress(
    client: Planasonix,
    progress: StagedProgress,
    asked: StagedBackfill,
    policy: Policy,
    *,
    interval: Interval | None = None,
    stop: threading.Event | None = None,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Block until another round may come to something: what a caller does between two rounds that did not end it.

    Raises what `wait_for_any` and `busy_until` raise, and `KeyboardInterrupt` once `stop` is set.
    `on_tick` is called first, and before each look at a run: it may raise where nobody wants the stages any more.
    """
    on_tick()
    if progress.stalled:
        ages = [handle.age_seconds(time.time()) for handle in progress.active]
        pause((interval or Interval()).pause(min(ages, default=0.0), random.Random()), stop)
    elif progress.active:
        with leaves_it_running():
            wait_for_any(client, progress.active, interval=interval, stop=stop, on_tick=on_tick)
    else:
        until = busy_until(progress, policy, asked.request.connection_id)
        since = progress.busy_since or time.time()
        busy = (progress.busy_kind, progress.busy_run_id)
        wait_while_taken(client, *busy, since=since, until=until, interval=interval, stop=stop, on_tick=on_tick)


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
    """Load all stages in one blocking call, and return what became of them; `skipped` if `if_running="skip"` did.

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
            wait_for_progress(client, progress, asked, policy, interval=interval, stop=stop)
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
            hint="Wait for the other job, or say what to do meanwhile (if_running).",
        )
    return until


def _with_book(
    steps: Generator[E | ReadEntry | WriteEntry | ClaimedBesides, Any, T],
    book: Book,
    stop: threading.Event | None = None,
) -> Generator[E, Any, T]:
    """The steps with what they ask of the book answered, so that a driver of the run engine can do the rest."""
    answered = False
    try:
        effect = next(steps)
        while True:
            try:
                # What is written before a POST says that it may have been sent, and what is written next says what
                # came of it: the three belong together.
                torn = isinstance(effect, Post) or (answered and isinstance(effect, WriteEntry))
                if stop is not None and stop.is_set() and not torn:
                    raise KeyboardInterrupt
                answered = isinstance(effect, Post)
                if isinstance(effect, ReadEntry | WriteEntry | ClaimedBesides):
                    answer = _of_book(effect, book)
                else:
                    answer = yield effect
            except Exception as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt from None
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
