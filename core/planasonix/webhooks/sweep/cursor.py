"""What one sweep leaves to the next: up to where the lists were read, and which runs go on.

The marks are times of the API's. No clock of ours moves them by itself, so that one that jumps loses nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

from planasonix.errors import ConfigurationError
from planasonix.watch import Kind

VERSION = 1
KINDS: tuple[Kind, ...] = ("job", "backfill")
"""The runs of pipelines are left out: no event of one is documented, and their list shows none that ended in its queue
(facts §1.4). A job of the type `pipeline_run` is a job."""

RunKey = tuple[Kind, str]


@dataclass
class OpenRun:
    """A run that goes on, as far as is known. `misses`: how often the API did not know it."""

    created_at: float
    misses: int = 0


@dataclass
class SweepCursor:
    """All times are seconds since the epoch: the API's stamps, but for `swept_at`, which is ours.

    `marks`: everything of that kind that was created up to then has been listed. A kind without one was never listed.
    `chunk_seconds`: for how much time one list is asked where there is too much for one; None where there is not.
    """

    marks: dict[Kind, float] = field(default_factory=dict[Kind, float])
    open: dict[RunKey, OpenRun] = field(default_factory=dict[RunKey, OpenRun])
    chunk_seconds: float | None = None
    swept_at: float = 0.0

    def to_text(self) -> str:
        """JSON, for the inbox."""
        data = {
            "version": VERSION,
            "marks": self.marks,
            "open": [[*key, one.created_at, one.misses] for key, one in self.open.items()],
            "chunk_seconds": self.chunk_seconds,
            "swept_at": self.swept_at,
        }
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> SweepCursor:
        """Read what `to_text` wrote; None is the first sweep.

        Raises `ConfigurationError` for another text: beginning anew would silently leave out what ended meanwhile.
        """
        if not text:
            return cls()
        try:
            data = cast("dict[str, Any]", json.loads(text))
            if not isinstance(data["version"], int) or data["version"] > VERSION:
                raise ValueError(f"its version is {data['version']!r}")
            marks: dict[Kind, float] = {kind: float(data["marks"][kind]) for kind in KINDS if kind in data["marks"]}
            opened = {_key(kind, run_id): OpenRun(float(at), int(misses)) for kind, run_id, at, misses in data["open"]}
            chunk = data["chunk_seconds"]
            return cls(marks, opened, None if chunk is None else float(chunk), float(data["swept_at"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"The sweep's stored cursor cannot be read: {type(error).__name__}: {error}.",
                field="inbox",
                hint="Use the version that wrote it.",
            ) from error


def _key(kind: Any, run_id: Any) -> RunKey:
    if kind not in KINDS or not isinstance(run_id, str):
        raise ValueError(f"not a run: {kind!r} {run_id!r}")
    return kind, run_id
