"""Giving a run up: cancel it if it is ours, and say in one sentence what came of it (G2)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs.bounded import perform_within
from planasonix.runs.cancel import cancel, cancelled_words
from planasonix.runs.drivers import Log, perform
from planasonix.runs.handle import RunHandle
from planasonix.runs.identity import is_another
from planasonix.runs.retire import find_lost
from planasonix.watch.protocols import ENDED_PHASES, reader_of

if TYPE_CHECKING:
    from planasonix.client import Planasonix
    from planasonix.runs.decide import Policy
    from planasonix.runs.ledger import Ledger
    from planasonix.runs.record import Record


def cancel_run(client: Planasonix, handle: RunHandle, *, patience_seconds: float = 30.0) -> str | None:
    """Cancel the run if it is owned, and no other one of its id; return its last status, or None where it was left."""
    if not handle.owned:
        return None
    return perform(client, cancel(handle.kind, handle.id, meant=handle, patience_seconds=patience_seconds))


def give_up(client: Planasonix, handle: RunHandle, *, wanted: bool = True, patience_seconds: float = 30.0) -> str:
    """Cancel the run if that is wanted and it is owned; return a sentence that tells what came of it.

    `patience_seconds` is how long a backfill's end is awaited, in case it starts more jobs. Never raises: why the run
    was given up is what the user must see.
    """
    name = f"Planasonix {handle.kind} {handle.id}"
    if not wanted:
        return f"{name} goes on."
    try:
        status = cancel_run(client, handle, patience_seconds=patience_seconds)
    except PlanasonixError as error:
        return f"{name} could not be cancelled, cancel it by hand: {error}"
    if status is None:
        return f"{name} goes on: it may be somebody else's."
    return f"{name} {cancelled_words(handle.kind, status)}."


def find_lost_run(
    client: Planasonix,
    record: Record,
    *,
    policy: Policy,
    ledger: Ledger,
    log: Log,
    patience_seconds: float = 20.0,
) -> Record:
    """The record, with the run that its start request made where that is certain within the time.

    For who must stop between a start request and its answer: what cannot be named cannot be given up. Says what could
    not be told, and never raises.
    """
    if record.run_id is not None or record.sent_at is None:
        return record
    try:
        steps = find_lost(record, policy, time.time)
        record = perform_within(client, steps, patience_seconds, ledger=ledger, log=log)
    except Exception as error:
        log("warning", f"the run of the start request could not be looked for: {error}")
    if record.run_id is None:
        log("warning", f"whether the start request took effect is not known; its key is {record.key}")
    return record


def end_at_deadline(client: Planasonix, handle: RunHandle, *, cancel_it: bool = True) -> None:
    """A run's deadline has passed: return if it has ended by now, else give it up and raise `WaitTimeoutError`."""
    try:
        run = reader_of(client, handle.kind).get(handle.id)
    except PlanasonixError:
        status = None
    else:
        if run.phase in ENDED_PHASES and not is_another(run, handle):
            return
        status = None if run.status is None else str(run.status)
    told = give_up(client, handle, wanted=cancel_it)
    deadline = datetime.fromtimestamp(handle.deadline_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    raise WaitTimeoutError(
        f"Planasonix {handle.kind} {handle.id} had not ended by its deadline, {deadline} "
        f"(last status: {status or 'not seen'}). {told}",
        pending=[{"kind": handle.kind, "id": handle.id, "status": status}],
        hint="Raise timeout_seconds if it needs longer.",
    )
