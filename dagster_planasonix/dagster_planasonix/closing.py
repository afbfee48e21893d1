"""The last line of the ledger about a job whose step is gone: how it ended, written by who saw that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.ledger import LedgerEntry, newest_entry, observation
from dagster_planasonix.shown import shown_of

if TYPE_CHECKING:
    from planasonix.runs import Outcome


def closing_entry(
    instance: dg.DagsterInstance, entry: LedgerEntry, outcome: Outcome, *, job_url_template: str | None = None
) -> dg.AssetObservation | None:
    """The event that says so; None where its slot has moved on.

    The end of an older wish must not hide a newer one.
    """
    if entry.record is None:
        return None
    newest = newest_entry(instance, entry.slot)
    if newest is None or newest.record != entry.record or entry.record.ended_as is not None:
        return None
    record = replace(entry.record, ended_as=outcome.api_status, verdict=outcome.status)
    text, shown = shown_of(record, entry.owner, job_url_template)
    return observation(entry.slot, entry.owner, record.to_dict(), description=text, shown=shown)
