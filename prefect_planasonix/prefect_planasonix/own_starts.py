"""What this process has started in this execution of a flow: a wait for it need not look for its entry in the ledger.

A flow may start a thousand jobs and then wait for all of them. Asking Prefect for a thousand entries takes it longer
than a wait may hold its job back for, and a job whose entry is not at hand is cancelled by nobody here.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planasonix.runs import RunHandle
    from prefect_planasonix.ledger import ArtifactLedger
    from prefect_planasonix.owner import RunOwner

_KEPT = 10_000
_Key = tuple[str | None, str | None, str, str]


class OwnStarts:
    """The ledger's slots by the run that they name. Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: OrderedDict[_Key, ArtifactLedger] = OrderedDict()
        self._newest: OrderedDict[tuple[str | None, str | None, str], _Key] = OrderedDict()

    def note(self, owner: RunOwner, handle: RunHandle, slot: ArtifactLedger) -> None:
        """`owner` started or found the run. Those of subflows are left out: their entries hang on a run above."""
        if not _is_certain(owner) or slot.entry is None:
            return
        with self._lock:
            # An earlier try's job stood in the same place: what a wait for that one would write is out of date.
            place = (owner.flow_run_id, owner.execution, slot.entry.slot)
            self._slots.pop(self._newest.pop(place, ("", "", "", "")), None)
            self._newest[place] = _key(owner, handle)
            self._slots[_key(owner, handle)] = slot
            for kept in (self._slots, self._newest):
                while len(kept) > _KEPT:
                    kept.popitem(last=False)

    def find(self, owner: RunOwner, handle: RunHandle) -> ArtifactLedger | None:
        """The slot, where the same execution of the same flow run has started the run in this process."""
        if not _is_certain(owner):
            return None
        with self._lock:
            return self._slots.get(_key(owner, handle))

    def forget(self) -> None:
        self.__init__()


def _is_certain(owner: RunOwner) -> bool:
    return owner.execution is not None and owner.parent_task_run_id is None


def _key(owner: RunOwner, handle: RunHandle) -> _Key:
    return owner.flow_run_id, owner.execution, handle.kind, handle.id


OWN_STARTS = OwnStarts()
# The child of a fork would write what its parent goes on to change.
os.register_at_fork(after_in_child=OWN_STARTS.forget)
