"""Whether this execution of a step is the same wish as an earlier one, or a new one.

A wish is the load of one request that one user, schedule or sensor asked for. Its token is stable over everything
that Dagster does on its own to fulfil it, and new for whatever somebody asks for anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """Where the entries of one request of one step are kept, over all runs of its run group.

    `root_run_id` is the first run of the group: each re-execution of it has the same one. `part` tells several
    requests of one step for the same target apart, for example by the key of a partition.
    """

    root_run_id: str
    step_key: str
    target_id: str
    part: str = ""

    @property
    def name(self) -> str:
        """Short enough for every store's index, and telling the connection to who reads it."""
        return f"{self.target_id}/{_digest(self.root_run_id, self.step_key, self.target_id, self.part)[:16]}"

    def token(self, run_id: str) -> str:
        """The token of the wish that began with this run. It says nothing about who or what, and two processes that
        work for the same step have the same one.
        """
        return _digest(run_id, self.step_key, self.target_id, self.part)[:32]


@dataclass(frozen=True)
class Written:
    """One entry of a slot, as far as this decision goes: who wrote it, for which wish, and whether it says that the
    run's events were all told.
    """

    run_id: str
    intent: str
    told: bool = False


def wish_of(
    slot: Slot,
    lineage: Sequence[str],
    entries: Sequence[Written],
    has_succeeded: Callable[[str], bool],
    *,
    is_run_retry: bool = False,
) -> tuple[str, int | None]:
    """(the token of this run's wish, the number of the entry to go on from, None where there is none).

    `lineage` is this run, its parent, and so on up to the root; `entries` are the slot's, newest first;
    `has_succeeded` tells whether the step ended well in a run, `is_run_retry` whether Dagster itself began this one.

    =============================================================  =================================================
    the newest entry of the lineage was written                    then
    =============================================================  =================================================
    by no run: none was                                            a new wish; nothing was sent
    by this run                                                    the same wish: a retry of the step, or a restart
                                                                   of its worker
    by an earlier run, in which the step did not end well          the same wish: a re-execution, or a run retry; it
                                                                   goes on from the wish's newest entry, also that of
                                                                   a sister re-execution
    the same, but the step ended well in a sister that served it   a new wish: somebody has had its result
    by an earlier run, in which the step ended well                a new wish: "re-execute all" of a good run
    by an earlier run, in which the step failed after all of its   a new wish: its result was told, and then a blocking
    events were told                                               check, or code of the user's, failed over it. A run
                                                                   retry is the same wish: nobody has mended anything
    =============================================================  =================================================

    A new wish goes on from the newest entry of its own lineage, so that a job which an earlier wish left alive is put
    an end to. What a sister works on is none of its business.
    """
    this = lineage[0]
    before = next((number for number, entry in enumerate(entries) if entry.run_id in lineage), None)
    if before is None:
        return slot.token(this), None
    intent = entries[before].intent
    if entries[before].run_id == this:
        return intent, _newest_of(intent, entries)
    served = dict.fromkeys(entry.run_id for entry in entries if entry.intent == intent)
    if not is_run_retry and any(entry.told for entry in entries if entry.intent == intent):
        return slot.token(this), before
    if any(has_succeeded(run_id) for run_id in served):
        return slot.token(this), before
    return intent, _newest_of(intent, entries)


def _newest_of(intent: str, entries: Sequence[Written]) -> int:
    return next(number for number, entry in enumerate(entries) if entry.intent == intent)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
