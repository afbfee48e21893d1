"""The run engine for callers with a thread of their own: scripts, workers, steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs.decide import Policy
from planasonix.runs.drivers import Log, perform
from planasonix.runs.effects import RunView
from planasonix.runs.giving_up import end_at_deadline, give_up
from planasonix.runs.handle import RunHandle
from planasonix.runs.intent import new_intent
from planasonix.runs.ledger import Ledger, MemoryLedger, SqliteLedger
from planasonix.runs.outcome import Outcome, fetch_outcome
from planasonix.runs.provenance import Provenance
from planasonix.runs.reporting import raise_for_failure
from planasonix.runs.requests import RunRequest, with_settings
from planasonix.runs.start import Start, Started
from planasonix.runs.start_words import busy_too_long
from planasonix.runs.waiting import leaves_it_running, wait_while_taken
from planasonix.watch import Interval, WatchedRun
from planasonix.watch.blocking import wait_until_ended

if TYPE_CHECKING:
    from planasonix.client import Planasonix


def start_run(
    client: Planasonix,
    request: RunRequest,
    *,
    intent: str,
    ledger: Ledger,
    provenance: Provenance,
    policy: Policy | None = None,
    metadata: dict[str, object] | None = None,
    log: Log | None = None,
) -> Started:
    """Start the request's job for this intent, or find the one that runs already; see the table of `runs.start`."""
    policy = policy or Policy(idempotency=client.config.idempotency_of(request.operation))
    request = with_settings(request, client.config)
    start = Start(request, intent, provenance, policy, time.time, metadata)
    return perform(client, start.steps(ledger.read()), ledger=ledger, log=log)


def wait_for_run(
    client: Planasonix,
    handle: RunHandle,
    *,
    interval: Interval | None = None,
    on_change: Callable[[WatchedRun], None] | None = None,
    remind_seconds: float | None = None,
) -> WatchedRun:
    """Block until the run ended, well or not, or its deadline passed (`WaitTimeoutError`; the run goes on)."""
    with leaves_it_running():
        return wait_until_ended(
            client,
            handle.kind,
            handle.id,
            timeout_seconds=max(0.0, handle.deadline_at - time.time()),
            interval=interval,
            age_seconds=handle.age_seconds(time.time()),
            on_change=on_change,
            remind_seconds=remind_seconds,
        )


def wait_while_busy(client: Planasonix, started: Started, *, since: float, until: float) -> None:
    """Block until the run that keeps the connection busy has ended, or for a while; at most until `until`.

    `since` is when the connection was first found busy; both are seconds since the epoch. Raises nothing of the API.
    """
    wait_while_taken(client, started.busy_kind, started.busy_run_id, since=since, until=until)


def outcome_of(
    client: Planasonix,
    handle: RunHandle,
    *,
    expected_tables: Iterable[str] = (),
    ended: RunView | None = None,
    seconds: float | None = None,
    read_before: MutableMapping[str, Any] | None = None,
) -> Outcome:
    """Read what became of an ended run. `ended`: the run as a GET has just shown it, which saves reading it again.

    `seconds`: a limit on reading the results, and `read_before`: those that are there already; see `fetch_outcome`.
    """
    steps = fetch_outcome(
        handle,
        expected_tables=expected_tables,
        job_url_template=client.config.job_url_template,
        ended=ended,
        seconds=seconds,
        read_before=read_before,
    )
    return perform(client, steps)


def run_to_end(
    client: Planasonix,
    request: RunRequest,
    *,
    intent: str | None = None,
    ledger: Ledger | None = None,
    provenance: Provenance | None = None,
    policy: Policy | None = None,
    metadata: dict[str, object] | None = None,
    interval: Interval | None = None,
    on_start: Callable[[RunHandle], None] | None = None,
    on_change: Callable[[WatchedRun], None] | None = None,
    log: Log | None = None,
) -> Outcome | None:
    """Start, wait and report in one blocking call; return the outcome of a run that ended well, None if skipped.

    Raises `RunFailedError` or `RunCancelledError` with the report, and `WaitTimeoutError` after the deadline, having
    cancelled the run. Whatever else interrupts the wait leaves the run to the next call of the same intent and ledger;
    without these there is none, and the run is cancelled. Another request under the same slot and
    intent is refused (`ConfigurationError`): one ledger slot for each request. So is a second process at work on the
    same slot of a `SqliteLedger` (`ConflictError`).

    >>> from planasonix import Planasonix
    >>> from planasonix.runs import SyncRequest, run_to_end
    >>> from planasonix.sandbox import Sandbox
    >>> client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=1000).transport())
    >>> run_to_end(client, SyncRequest("conn_shop_orders")).status
    'succeeded'
    """
    policy = policy or Policy(idempotency=client.config.idempotency_of(request.operation))
    # Without either, no later call can find the run again: whatever interrupts the wait gives it up.
    only_call = intent is None and ledger is None
    ledger = ledger or MemoryLedger()
    intent = intent or new_intent()
    provenance = provenance or Provenance("python", "python")
    with ledger.held() if isinstance(ledger, SqliteLedger) else nullcontext():
        began = time.time()
        until = began + policy.timeout_seconds
        while True:
            started = start_run(
                client,
                request,
                intent=intent,
                ledger=ledger,
                provenance=provenance,
                policy=policy,
                metadata=metadata,
                log=log,
            )
            if started.how == "skipped":
                return None
            if started.handle is not None:
                break
            if time.time() >= until:
                raise busy_too_long(request, policy.timeout_seconds)
            wait_while_busy(client, started, since=began, until=until)
        handle = started.handle
        if on_start is not None:
            on_start(handle)
        try:
            wait_for_run(client, handle, interval=interval, on_change=on_change)
        except WaitTimeoutError:
            end_at_deadline(client, handle)
        except BaseException as error:
            if only_call:
                give_up(client, handle)
                if isinstance(error, PlanasonixError):
                    error.run_goes_on = False
            raise
        outcome = outcome_of(client, handle, expected_tables=request.expected_tables)
        _note_end(ledger, handle, outcome, log)
        raise_for_failure(outcome)
        return outcome


def _note_end(ledger: Ledger, handle: RunHandle, outcome: Outcome, log: Log | None) -> None:
    """Tell reconcile that this end was seen, and a later call what was made of it. How this one ends does not hang
    on that note.
    """
    try:
        record = ledger.read()
        if record is not None and record.run_id == handle.id:
            ledger.write(replace(record, ended_as=outcome.api_status, verdict=outcome.status))
    except Exception as error:
        if log is not None:
            log("warning", f"the end of {handle.kind} {handle.id} could not be noted: {error!r}")
