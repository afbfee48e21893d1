"""Give a staged backfill up: cancel every stage that runs and is ours, and say in sentences what came of each (G2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from planasonix.errors import PlanasonixError
from planasonix.runs.cancel import cancel
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Get, RunView
from planasonix.runs.retire import retire
from planasonix.runs.stage_follow import Follow
from planasonix.runs.stage_steps import BookFailed, kept_in_entry, read_entry, write_entry
from planasonix.runs.stages import HEADER, BookSteps, Header, ReadEntry, StageEntry, WriteEntry
from planasonix.watch.protocols import ENDED_PHASES


def cancel_active(policy: Policy, now: Callable[[], float], *, patience_seconds: float = 60.0) -> BookSteps[list[str]]:
    """Ask all active stages to end before the end of the first is awaited; `patience_seconds` bounds the whole wait.

    Raises only what the book raises: what could not be cancelled is told in the sentences.
    """
    try:
        return (yield from _cancel_active(policy, now, now() + patience_seconds))
    except BookFailed as failure:
        raise failure.error from None


def _cancel_active(policy: Policy, now: Callable[[], float], give_up_at: float) -> BookSteps[list[str]]:
    stored: dict[str, Any] | None = yield ReadEntry(HEADER)
    if stored is None:
        return []
    header = Header.from_dict(stored)
    told: list[str] = []
    running: list[tuple[str, StageEntry]] = []
    for name in header.active:
        entry = yield from _named(name, policy, now, give_up_at)
        if entry is None:
            continue
        record = entry.record
        if record.run_id is None:
            told.append(f"Whether stage {name} was started is not known: look at the connection's backfills.")
        elif not record.owned:
            told.append(f"Planasonix {record.kind} {record.run_id} goes on: it may be somebody else's.")
        else:
            entry = replace(entry, given_up=True)
            yield from write_entry(name, entry)
            running.append((name, entry))
            with suppress(PlanasonixError):  # it is asked again below, and what comes of that is told
                yield from cancel(record.kind, record.run_id, patience_seconds=0.0)
    for name, entry in running:
        told.append((yield from _end(name, entry, header, policy, now, give_up_at)))
    # The names stay active: the next round puts each where its end belongs.
    yield WriteEntry(HEADER, replace(header, outcome="cancelled").to_dict())
    return told


def _named(name: str, policy: Policy, now: Callable[[], float], give_up_at: float) -> BookSteps[StageEntry | None]:
    """The entry of a stage that may run; one whose start's answer was lost is looked for."""
    entry = yield from read_entry(name)
    if entry is None or not entry.may_run:
        return None
    record = entry.record
    if record.run_id is not None:
        return entry
    looking = replace(policy, cancel_older=True, retire_seconds=max(0.0, give_up_at - now()))
    entry = replace(entry, given_up=True)
    with suppress(PlanasonixError):  # what is known by then stands in the entry
        steps = retire(record, looking, now)
        yield from kept_in_entry(steps, name, lambda record: replace(entry, record=record))
    return (yield from read_entry(name))


def _end(
    name: str, entry: StageEntry, header: Header, policy: Policy, now: Callable[[], float], give_up_at: float
) -> BookSteps[str]:
    record = entry.record
    assert record.run_id is not None  # noqa: S101 - asked only of stages that run
    label = f"Planasonix {record.kind} {record.run_id}"
    try:
        yield from cancel(record.kind, record.run_id, patience_seconds=max(0.0, give_up_at - now()))
        run: RunView = yield Get(record.kind, record.run_id)
    except PlanasonixError as error:
        return f"{label} could not be cancelled, cancel it by hand: {error}"
    if run.phase not in ENDED_PHASES:
        return f"{label} was asked to stop, and is {run.status}."
    follow = Follow(policy, now, header.attempt or "", header.attempt)
    yield from follow.read_end(name, entry)
    return f"{label} was cancelled (it is {run.status})."
