"""What the runs of a target since some moment amount to. No I/O: `look` and `shared` bring the runs.

Of the runs that were created since then, in the order of their creation:

===================================================  ==================================================================
they show                                            verdict
===================================================  ==================================================================
one that succeeded                                   found: the earliest created of those
one that ended, and `wanted_status` is `ended`       found: the earliest created of those
one that goes on                                     waiting
none                                                 waiting
only bad ends, `fail_on_failure` is False            waiting: a newer one may be started
only bad ends, the newest a few seconds ago          waiting: a newer one may not be listed yet
only bad ends                                        failed: the newest
===================================================  ==================================================================

The earliest and not the newest, because no newer run changes that answer, and a connection that syncs every minute is
not a moving target. Whoever asks again for the same moment gets the same run, unless one that was created before it
and went on then has ended well since. Runs are told apart by their ids, and each look takes all of them since then: no
mark moves on that a run which is listed late could fall behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor
from typing import Literal

from planasonix.runs.effects import RunView
from planasonix.runs.since.wish import RunSince
from planasonix.runs.target import shown_target
from planasonix.watch.protocols import ENDED_PHASES

SETTLE_SECONDS = 10.0
"""How long after a bad end a run that follows it may be missing from lists."""

CLOCKS_SLACK_SECONDS = 3.0
"""So much earlier than `since` a run may be created where the API's clock is fast: its schedules follow that clock."""

_AFTER_ALL_OTHERS = datetime.max.replace(tzinfo=UTC)

Verdict = Literal["found", "failed", "waiting"]


@dataclass(frozen=True)
class Sighting:
    """What a look saw. `run`: the one that was found or failed; while waiting, the newest one there is, if any."""

    verdict: Verdict
    run: RunView | None = None


def counts(wish: RunSince, run: RunView, clock_offset_seconds: float | None) -> bool:
    """Whether the run is one of those that the wish speaks of.

    `clock_offset_seconds` is the API's clock minus ours: `since` is ours, the stamps are the API's. One whose creation
    is not shown counts while it goes on.
    """
    shown = shown_target(run, wish.kind)
    if shown is not None and shown != wish.target_id:
        return False
    job_type = getattr(run, "type", None)
    if wish.job_type is not None and job_type is not None and str(job_type) != wish.job_type:
        return False
    if run.created_at is None:
        return run.phase not in ENDED_PHASES
    # Where it is not clear whether the run was created before `since`, it counts: one that does not would be missed for
    # good. Stamps have whole seconds: what began within the second of `since` may not seem to have begun before it.
    offset = clock_offset_seconds or 0.0
    offset = min(offset, max(0.0, offset - CLOCKS_SLACK_SECONDS))
    return run.created_at.timestamp() >= floor(wish.since.timestamp() + offset)


def judge(wish: RunSince, runs: Iterable[RunView], server_now: float) -> Sighting:
    """The table above. `runs` are those that count; `server_now` is the API's time, in seconds since the epoch."""
    ordered = in_order(runs)
    ends = ENDED_PHASES if wish.wanted_status == "ended" else frozenset({"succeeded"})
    for run in ordered:
        if run.phase in ends:
            return Sighting("found", run)
    going_on = [run for run in ordered if run.phase not in ENDED_PHASES]
    if going_on or not ordered:
        return Sighting("waiting", going_on[-1] if going_on else None)
    newest = ordered[-1]
    if not wish.fail_on_failure or _ended_just_now(newest, server_now):
        return Sighting("waiting", newest)
    return Sighting("failed", newest)


def in_order(runs: Iterable[RunView]) -> list[RunView]:
    """The earliest created first."""
    return sorted(runs, key=lambda run: (run.created_at or _AFTER_ALL_OTHERS, run.id))


def _ended_just_now(run: RunView, server_now: float) -> bool:
    # A backfill shows no time of its end; it is updated last when it ends.
    ended_at = getattr(run, "finished_at", None) or getattr(run, "updated_at", None)
    return isinstance(ended_at, datetime) and server_now - ended_at.timestamp() < SETTLE_SECONDS
