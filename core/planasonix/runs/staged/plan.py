"""A dry run: what is done, what is to do, and why, from the book alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from planasonix.runs.book import Book
from planasonix.runs.intent import new_intent
from planasonix.runs.staged.wish import HEADER, Header, StagedBackfill, StageEntry, resumes

PlannedState = Literal["done", "active", "unknown", "failed", "to_do"]


@dataclass(frozen=True)
class PlannedStage:
    """One stage as the next call finds it; `why` in words. Times are RFC 3339 in UTC."""

    name: str
    start_at: str
    end_at: str
    state: PlannedState
    why: str
    run_id: str | None = None


def planned(book: Book, asked: StagedBackfill, *, intent: str | None = None) -> list[PlannedStage]:
    """What `run_stages_to_end` with the same book and `intent` would find: sends nothing, and writes nothing.

    `active` and `failed` are what the book says: the stage may have ended meanwhile; a failed one is started again.
    `unknown`: whether its start made a backfill is found out first.
    """
    stored = book.read(HEADER)
    header = None if stored is None else Header.from_dict(stored)
    intent = intent or wish_of(book, asked)
    epoch = None
    if header is not None and (header.intent == intent or resumes(asked.on_clear, header)):
        epoch = header.epoch
    rows: list[PlannedStage] = []
    for number, stage in enumerate(asked.stages):
        data = book.read(stage.name)
        entry = None if data is None else StageEntry.from_dict(data)
        state, why = _state(entry, epoch, asked.digests[number], intent)
        run_id = None if entry is None else entry.record.run_id
        start, end = (moment.isoformat().replace("+00:00", "Z") for moment in (stage.start_at, stage.end_at))
        rows.append(PlannedStage(stage.name, start, end, state, why, run_id))
    return rows


def wish_of(book: Book, asked: StagedBackfill) -> str:
    """The token of a script's wish: the stored one until it succeeded, unless the user wants it all anew.

    A script has nobody who tells a second try from a new wish. So a call after one that failed or was killed goes
    on with its wish, and finds the jobs that still run.
    """
    stored = book.read(HEADER)
    header = None if stored is None else Header.from_dict(stored)
    if header is None or header.outcome == "succeeded" or asked.on_clear == "restart":
        return new_intent()
    return header.intent


def _state(entry: StageEntry | None, epoch: str | None, digest: str, wish: str) -> tuple[PlannedState, str]:
    if entry is None:
        return "to_do", "never started"
    told: dict[str, Any] = entry.outcome or {}
    if entry.succeeded and (entry.epoch, entry.digest) == (epoch, digest):
        return "done", f"loaded by {told.get('id')}"
    if entry.record.run_id is None and entry.record.sent_at is not None:
        return "unknown", "the answer to its start was lost: it is looked for before anything starts"
    if entry.outcome is None and entry.record.run_id is not None:
        ours = (entry.wish, entry.digest) == (wish, digest)
        first = "" if ours else ": it is cancelled before the stage starts again"
        return "active", f"{entry.record.run_id} may still run{first}"
    if entry.succeeded:
        changed = entry.digest != digest
        return "to_do", "loaded by another request" if changed else "loaded before, to be loaded again"
    if entry.outcome is not None:
        why = told.get("error_message") or told.get("error_code") or told.get("api_status") or "no reason known"
        return "failed", f"{told.get('status')} ({why}): is started again"
    return "to_do", "not started yet"
