"""What became of each stage, table by table: for orchestrators that keep a line for each of them."""

from __future__ import annotations

from typing import Any

from planasonix.runs.book import Book
from planasonix.runs.outcome import Outcome, outcome_from_dict
from planasonix.runs.staged.drive import staged_outcome
from planasonix.runs.staged.result import StageOutcome
from planasonix.runs.staged.wish import StagedBackfill, StageEntry


def stage_ends(book: Book, asked: StagedBackfill, *, intent: str) -> dict[str, Outcome]:
    """The outcome of each stage that came to an end for the wish `intent`, by the stage's name, in their order.

    Those that earlier tries loaded are among them. One that failed without a job (its start was refused, or nobody can
    say whether it took effect) has no id. Asks nothing of the API; raises what the book raises.
    """
    ends: dict[str, Outcome] = {}
    for told in staged_outcome(book, asked, intent=intent).stages:
        entry = None if told.state in ("not_started", "active") else book.read(told.name)
        kept = None if entry is None else StageEntry.from_dict(entry).outcome
        if kept is not None:
            ends[told.name] = _outcome(asked.request.connection_id, told, kept)
    return ends


def _outcome(connection_id: str, told: StageOutcome, kept: dict[str, Any]) -> Outcome:
    return outcome_from_dict(
        {
            **kept,
            "kind": "backfill",
            "id": told.id or "",
            "connection_id": connection_id,
            "api_status": told.api_status or "",
            "window_start": told.start_at,
            "window_end": told.end_at,
        }
    )
