"""What reconcile reads and what it says: an entry of a ledger with its owner's state, and a finding about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from planasonix.runs.record import Record

Owner = Literal["alive", "ended", "unknown"]
FindingKind = Literal["orphan", "ended_unseen", "outcome_unknown", "left", "nothing_started", "settled", "unreadable"]
Action = Literal["none", "would_cancel", "cancelled", "not_cancelled"]


@dataclass(frozen=True)
class Entry:
    """One record of a ledger, and what is known of the owner that wrote it.

    `slot` names the entry in its source, for humans too. `owner_text` is the source's own word for the owner's state,
    `ended_at` the moment of its end in seconds since the epoch, None where that is long ago or not known; `link` is
    the owner's page.
    """

    slot: str
    record: Record
    owner: Owner
    owner_text: str
    ended_at: float | None = None
    link: str | None = None


@dataclass(frozen=True)
class Unreadable:
    """An entry that the source could not read: `why` says it in one line."""

    slot: str
    why: str


@dataclass(frozen=True)
class Finding:
    """What became of one entry. `sentence` tells it to a human; `action` is what was or would be done.

    `candidates` are the runs that a lost answer may have started. `needs_human`: nothing here can put it right.
    """

    kind: FindingKind
    slot: str
    sentence: str
    action: Action = "none"
    needs_human: bool = False
    owner: Owner = "unknown"
    owner_text: str = ""
    owner_link: str | None = None
    run_kind: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    connection_id: str | None = None
    pipeline_id: str | None = None
    status: str | None = None
    candidates: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"candidates": list(self.candidates)}
