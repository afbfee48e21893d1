"""Which of the calls of one flow run has an entry of the ledger: for tasks that run in processes of their own.

Prefect has no write that fails when somebody else was first. So who takes an entry over writes its name there, and
where others may do the same at that moment reads it again a little later: the last name counts.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from prefect_planasonix.intent import Tries, Wish
from prefect_planasonix.owner import RunOwner

if TYPE_CHECKING:
    from prefect_planasonix.ledger import ArtifactStore
    from prefect_planasonix.ledger_entry import LedgerEntry

SETTLED_SECONDS = 1.0
"""More than lies between another process's reading of the ledger and its writing."""


def wish_of(store: ArtifactStore, tries: Tries, owner: RunOwner, number: int, name: str, target_id: str) -> Wish:
    """The wish of a call, claimed for it in the ledger where it takes over what another call wrote. Blocking.

    Raises `LedgerError` where Prefect's API cannot be used.
    """
    while True:
        wish = tries.take(owner, number, store.entries(target_id), name)
        if wish.entry is None or not wish.is_taken_over or owner.claim is None:
            return wish
        claimed = store.write(replace(wish.entry, claim=owner.claim))
        # Calls in the flow's own process know of one another.
        if not owner.is_apart or _is_still_there(store, claimed, target_id):
            return replace(wish, entry=claimed)


def _is_still_there(store: ArtifactStore, claimed: LedgerEntry, target_id: str) -> bool:
    time.sleep(SETTLED_SECONDS)
    return any(each.slot == claimed.slot and each.claim == claimed.claim for each in store.entries(target_id))
