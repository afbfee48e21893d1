"""The detached runs that a sensor has to tell though no list shows them: it is new, was off, or lost its cursor."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from dagster_planasonix.ledger import LedgerEntry, all_entries
from planasonix.runs.polled.cursor import OPEN_AT_MOST, OpenRun, RunKey

if TYPE_CHECKING:
    import dagster as dg

LOOK_BACK_SECONDS = 30 * 86_400.0
_READ_SECONDS = 5.0
"""For how long a tick reads the ledger for them, newest entries first."""


def still_open(
    instance: dg.DagsterInstance,
    connection_ids: Collection[str],
    *,
    base_url: str,
    log: Callable[[str, str], None],
    since: float | None = None,
) -> dict[str, dict[RunKey, OpenRun]]:
    """Of each connection, the detached runs whose end the ledger does not know.

    `since` (seconds since the epoch) leaves out what the ledger has not touched since then; None: thirty days ago.
    """
    found: dict[str, dict[RunKey, OpenRun]] = {connection_id: {} for connection_id in connection_ids}
    if not found:
        return found
    seen: set[str] = set()
    until = time.monotonic() + _READ_SECONDS
    for entry in all_entries(instance, since=time.time() - LOOK_BACK_SECONDS if since is None else since):
        if time.monotonic() >= until:
            log("warning", "the ledger is long: of older detached runs only reconcile tells")
            break
        if not isinstance(entry, LedgerEntry) or entry.record is None or entry.record.run_id is None:
            continue
        record, run_id = entry.record, entry.record.run_id
        is_newest = run_id not in seen
        seen.update((run_id, *record.earlier_ids))
        runs = found.get(record.target_id)
        if not is_newest or runs is None or entry.owner.base_url not in (None, base_url):
            continue
        if entry.owner.waits or not record.owned or record.ended_as is not None or record.kind == "run":
            continue
        if len(runs) < OPEN_AT_MOST:
            created_at = record.created_at or record.sent_at or entry.timestamp
            runs[record.kind, run_id] = OpenRun(created_at, due_at=record.deadline_at)
    return found
