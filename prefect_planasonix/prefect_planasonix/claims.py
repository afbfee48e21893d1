"""Which of the calls of one flow run has an entry of the ledger: for tasks that run in processes of their own.

Artifacts have no write that fails when somebody else was first. A flow run's inputs do: Prefect's server keeps one
value for each key and answers 409 to the second writer. So whoever would take an entry over asks there first, and no
clock and no pause decides: a write may be as slow as it likes. A claim goes with its flow run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from prefect_planasonix.intent import Tries, Wish
from prefect_planasonix.ledger import told_as_ledger_error
from prefect_planasonix.owner import RunOwner

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from prefect_planasonix.ledger import ArtifactStore

_KEY_PREFIX = "planasonix-claim-"
_CONFLICT = 409


def wish_of(
    client: SyncPrefectClient,
    store: ArtifactStore,
    tries: Tries,
    owner: RunOwner,
    number: int,
    name: str,
    target_id: str,
) -> Wish:
    """The wish of a call, claimed for it where it takes over what another call wrote. Blocking.

    Raises `LedgerError` where Prefect's API cannot be used.
    """
    entries = store.entries(target_id)
    while True:
        wish = tries.take(owner, number, entries, name)
        claim = owner.claim
        if wish.entry is None or not wish.is_taken_over or claim is None or wish.entry.claim == claim:
            return wish
        holder = _holder(client, str(owner.home_flow_run_id), claim, wish.slot)
        if holder == claim:
            return replace(wish, entry=store.write(replace(wish.entry, claim=holder)))
        # The holder may not have written it into the entry yet.
        entries = [replace(each, claim=holder) if each.slot == wish.slot else each for each in entries]


def _holder(client: SyncPrefectClient, flow_run_id: str, claim: tuple[str, str], slot: str) -> tuple[str, str]:
    """Who has the slot in this execution of the flow: the caller, where nobody was first."""
    from prefect.exceptions import PrefectHTTPStatusError

    execution, caller = claim
    key = _KEY_PREFIX + hashlib.sha256(f"{execution}\0{slot}".encode()).hexdigest()[:32]
    with told_as_ledger_error("claimed"):
        try:
            client.create_flow_run_input(UUID(flow_run_id), key, json.dumps(caller))
        except PrefectHTTPStatusError as error:
            if error.response.status_code != _CONFLICT:
                raise
            # Also the caller's own claim, where the answer to it was lost or its task is tried again.
            return execution, str(json.loads(client.read_flow_run_input(UUID(flow_run_id), key)))
    return claim
