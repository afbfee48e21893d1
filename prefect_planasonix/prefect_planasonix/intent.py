"""Which wish a call is: an earlier one that a retry asks for again, or a new one.

A wish is one request of one flow run. It is the same over task retries, flow retries, Retry in the UI and resume, and
new with each new flow run. Identical requests of one flow run are told apart by the task that makes them, and by
counting.

Prefect gives a task run a number (`dynamic_key`) that is the same over task retries and drawn anew by each try of the
flow. Counting alone would not do either: a task whose result is kept does not run again in the next try of the flow,
and would not be counted there. So the ledger of the earlier tries is looked at, too. Who takes an entry of an earlier
try over writes that there: the tasks of a flow may run in several processes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from planasonix.runs import Record, RunRequest
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.owner import RunOwner

T = TypeVar("T")
_TRIES_KEPT = 10_000


@dataclass(frozen=True)
class Wish:
    """The place of a wish in the ledger of its run. `entry` is what stands there; None where nothing was written.
    `is_taken_over`: whether another call wrote it, in an earlier try.
    """

    slot: str
    number: int
    intent: str
    entry: LedgerEntry | None = None
    is_taken_over: bool = False


class Tries:
    """What was asked for in the present tries of this process's runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: OrderedDict[object, Counter[str]] = OrderedDict()
        self._taken: OrderedDict[object, dict[str, str]] = OrderedDict()
        self._cancelled: OrderedDict[object, None] = OrderedDict()

    def note_end(self, owner: RunOwner, record: Record) -> None:
        """Remember a job that was cancelled while a call of this process waited for it."""
        if record.verdict == "cancelled":
            with self._lock:
                _kept(self._cancelled, (owner.run_id, record.run_id), None)

    def was_cancelled(self, owner: RunOwner, record: Record) -> bool:
        """Whether an earlier try of this process saw the job cancelled. A try in a new process is somebody's wish:
        Retry in the UI, for example.
        """
        with self._lock:
            return (owner.run_id, record.run_id) in self._cancelled

    def number_of(self, owner: RunOwner, name: str) -> int:
        """How many calls of this name the present try of the owner's task, or flow, has made before."""
        run = (owner.task_run_id or owner.flow_run_id, owner.tries)
        with self._lock:
            calls = _kept(self._calls, run, Counter())
            calls[name] += 1
            return calls[name] - 1

    def take(self, owner: RunOwner, number: int, entries: Sequence[LedgerEntry], name: str) -> Wish:
        """The wish of this call. `entries` are those that the run's ledger has of the target.

        ================================================================  ==========================================
        the ledger has                                                    then
        ================================================================  ==========================================
        the slot of this caller, and nobody else has it in this try       that one: a retry
        none such; one of the same request and task, free in this try:
        of a task whose results are not kept                              the oldest of these: all calls are made
                                                                          again, only Prefect's numbers differ
        of one whose results are kept, and its job has not succeeded      that one, for the same reason
        the same, and its job succeeded                                   a new wish: that task is not run again, this
                                                                          is another call
        nothing else                                                      a new wish
        ================================================================  ==========================================
        """
        caller = owner.caller
        name = f"{owner.place}{name}"
        own = f"{name}/{_place(owner)}{number}"
        by_slot = {entry.slot: entry for entry in entries}
        with self._lock:
            taken = _kept(self._taken, (owner.flow_run_id or owner.task_run_id, owner.tries[:-1]), {})

            def free(slot: str) -> bool:
                claim = by_slot[slot].claim if slot in by_slot else None
                is_taken = claim is not None and claim[0] == owner.execution and claim[1] != caller
                return not is_taken and taken.get(slot, caller) == caller

            slot = own
            if own not in by_slot or not free(own):
                could = [entry for entry in entries if free(entry.slot) and _may_be(entry, owner, name, number)]
                # What this caller has taken over already goes first: its own retry may run in another process.
                others = [entry.slot for entry in sorted(could, key=lambda each: each.claim != owner.claim)]
                slot = others[0] if others else own
                while slot not in others and (slot in by_slot or not free(slot)):
                    slot += "+"
            taken[slot] = caller
        entry = by_slot.get(slot)
        intent = _digest(str(owner.run_id), slot)[:32] if entry is None else entry.record.intent
        return Wish(slot, number, intent, entry, is_taken_over=entry is not None and slot != own)


def wish_name(request: RunRequest, run_key: str | None) -> str:
    """What all identical requests of a run share: the target, for people, and a digest of the rest."""
    identity = json.dumps([request.operation, request.target_id, request.identity(), run_key], sort_keys=True)
    return f"{request.target_id}/{_digest(identity)[:12]}"


def _may_be(entry: LedgerEntry, owner: RunOwner, name: str, number: int) -> bool:
    """Whether the entry may have been written for the owner's call in an earlier try, under another of Prefect's
    numbers.
    """
    if owner.task_key is None or not entry.slot.startswith(f"{name}/"):
        return False
    if (entry.owner.task_key, entry.number) != (owner.task_key, number):
        return False
    return not owner.persists or entry.record.verdict != "succeeded"


def _place(owner: RunOwner) -> str:
    return "" if owner.task_key is None else _digest(owner.task_key, str(owner.dynamic_key))[:8] + "-"


def _kept(tries: OrderedDict[object, T], key: object, fresh: T) -> T:
    """The key's value. The oldest tries are forgotten: a process may serve flows for months."""
    value = tries.setdefault(key, fresh)
    tries.move_to_end(key)
    while len(tries) > _TRIES_KEPT:
        tries.popitem(last=False)
    return value


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


TRIES = Tries()
