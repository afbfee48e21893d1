"""What one tick of the inbox sensor leaves to the next."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from planasonix.runs import PollCursor
from planasonix.runs.cursor_text import read_cursor

VERSION = 1


@dataclass
class InboxCursor:
    """Up to where the inbox was read, and the runs that were heard of and are not told yet.

    `identity` is the inbox's, None before the first one was read; `looked_at` is when the last tick was, in seconds
    since the epoch, None before the first.
    """

    identity: str | None = None
    seq: int = 0
    looked_at: float | None = None
    runs: PollCursor = field(default_factory=PollCursor)

    def to_text(self) -> str:
        """JSON, for Dagster."""
        data = {
            "version": VERSION,
            "inbox": self.identity,
            "seq": self.seq,
            "looked_at": self.looked_at,
            "runs": json.loads(self.runs.to_text()),
        }
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> InboxCursor:
        """Read what `to_text` wrote; None or "" is the first tick.

        Raises `ConfigurationError` for another text: beginning anew would silently leave out what was heard meanwhile.
        """
        if not text:
            return cls()
        return read_cursor(
            text,
            VERSION,
            cls._made_of,
            what="The stored cursor",
            field="cursor",
            hint="Reset the sensor's cursor: then detached runs are told, and what is delivered from now on.",
        )

    @classmethod
    def _made_of(cls, data: dict[str, Any]) -> InboxCursor:
        identity, looked_at = data["inbox"], data["looked_at"]
        return cls(
            None if identity is None else str(identity),
            int(data["seq"]),
            None if looked_at is None else float(looked_at),
            PollCursor.from_text(json.dumps(data["runs"])),
        )
