"""Give a staged backfill up: cancel every stage that runs and is ours, and say in sentences what came of each (G2)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from planasonix.errors import NotPublishedError, PlanasonixError
from planasonix.runs.bounded import Together
from planasonix.runs.cancel import cancel
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Cancel, Effect, Get, RunView, Steps
from planasonix.runs.identity import is_another
from planasonix.runs.record import Record
from planasonix.runs.retire import find_lost
from planasonix.runs.staged.follow import Follow
from planasonix.runs.staged.steps import BookFailed, kept_in_entry, read_entry, write_entry
from planasonix.runs.staged.wish import (
    HEADER,
    ClaimedBesides,
    Header,
    ReadEntry,
    StageEntry,
    WriteEntry,
)
from planasonix.watch.protocols import ENDED_PHASES

T = TypeVar("T")
CancelSteps = Generator[Effect | ReadEntry | WriteEntry | ClaimedBesides | Together, Any, T]
_SETTLE_SHARE = 0.2
"""How much of the patience a lost answer may take to have its effect, before it is looked for."""


def cancel_active(
    policy: Policy, now: Callable[[], float], *, patience_seconds: float = 60.0
) -> CancelSteps[list[str]]:
    """Ask all active stages to end, side by side, before the end of any is awaited; `patience_seconds` bounds it all.

    Raises only what the book raises: what could not be cancelled is told in the sentences.
    """
    try:
        return (yield from _cancel_active(policy, now, patience_seconds))
    except BookFailed as failure:
        raise failure.error from None


def _cancel_active(policy: Policy, now: Callable[[], float], patience_seconds: float) -> CancelSteps[list[str]]:
    give_up_at = now() + patience_seconds
    stored: dict[str, Any] | None = yield ReadEntry(HEADER)
    if stored is None:
        return []
    header = Header.from_dict(stored)
    told: list[str] = []
    running: list[tuple[str, StageEntry]] = []
    lost: list[tuple[str, StageEntry]] = []
    for name in header.active:
        entry = yield from read_entry(name)
        if entry is None or not entry.may_run:
            continue
        if entry.record.run_id is None:
            lost.append((name, entry))
        elif not entry.record.owned:
            told.append(f"Planasonix {entry.record.kind} {entry.record.run_id} goes on: it may be somebody else's.")
        else:
            entry = replace(entry, given_up=True)
            yield from write_entry(name, entry)
            running.append((name, entry))
    asked = yield from _ask(running)
    settle_seconds = min(policy.settle_seconds, _SETTLE_SHARE * patience_seconds)
    found: list[tuple[str, StageEntry]] = []
    for name, entry in lost:
        looking = replace(policy, cancel_older=True, settle_seconds=settle_seconds)
        entry = yield from _found(name, entry, looking, now)
        if entry.record.run_id is None:
            told.append(f"Whether stage {name} was started is not known: look at the connection's backfills.")
        else:
            found.append((name, entry))
    asked |= yield from _ask(found)
    for name, entry in (*running, *found):
        told.append((yield from _end(name, entry, asked[name], header, policy, now, give_up_at)))
    # The names stay active: the next round puts each where its end belongs.
    yield WriteEntry(HEADER, replace(header, outcome="cancelled").to_dict())
    return told


def _ask(stages: list[tuple[str, StageEntry]]) -> CancelSteps[dict[str, PlanasonixError | None]]:
    """Ask all of them to end. What each was refused with, if it was."""
    if not stages:
        return {}
    answers = yield Together(tuple(partial(_asked, entry.record) for _, entry in stages))
    return {
        name: answer if isinstance(answer, PlanasonixError) else None
        for (name, _), answer in zip(stages, answers, strict=True)
    }


def _asked(record: Record) -> Steps[None]:
    assert record.run_id is not None  # noqa: S101 - asked only of stages that run
    with suppress(PlanasonixError):  # what cannot be read is cancelled all the same
        run: RunView = yield Get(record.kind, record.run_id)
        if is_another(run, record):
            return
    with suppress(NotPublishedError):  # it has no job yet: it is asked again while its end is awaited
        yield Cancel(record.kind, record.run_id)


def _found(name: str, entry: StageEntry, policy: Policy, now: Callable[[], float]) -> CancelSteps[StageEntry]:
    """The entry of a stage whose start's answer was lost, with its run where that is certain."""
    entry = replace(entry, given_up=True)
    steps = find_lost(entry.record, policy, now)
    with suppress(PlanasonixError):  # then it is not known
        record = yield from kept_in_entry(steps, name, lambda record: replace(entry, record=record))
        return replace(entry, record=record)
    return entry


def _end(
    name: str,
    entry: StageEntry,
    refusal: PlanasonixError | None,
    header: Header,
    policy: Policy,
    now: Callable[[], float],
    give_up_at: float,
) -> CancelSteps[str]:
    record = entry.record
    assert record.run_id is not None  # noqa: S101 - asked only of stages that run
    label = f"Planasonix {record.kind} {record.run_id}"
    try:
        patience_seconds = max(0.0, give_up_at - now())
        status = yield from cancel(record.kind, record.run_id, meant=record, patience_seconds=patience_seconds)
        if status is None:
            return f"{label} is left alone: a run of that id belongs to another connection."
        run: RunView = yield Get(record.kind, record.run_id)
    except PlanasonixError as error:
        if refusal is None or refusal.outcome == "unknown":
            return f"{label} was asked to stop, and whether it does is not known, look at it: {error}"
        return f"{label} could not be cancelled, cancel it by hand: {refusal}"
    if run.phase not in ENDED_PHASES:
        return f"{label} was asked to stop, and is {run.status}."
    follow = Follow(policy, now, header.attempt or "", header.attempt)
    yield from follow.read_end(name, entry)
    return f"{label} was cancelled (it is {run.status})."
