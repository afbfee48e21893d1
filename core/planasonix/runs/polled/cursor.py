"""What one look leaves to the next: how far each connection's lists were read, and which runs are still to be told.

Lists lag, and show a run some time after its creation. So each look begins a while before the mark, and the ids that
it has dealt with since then are remembered. Runs that go on are remembered by id: no mark has to wait for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from planasonix.runs.cursor_text import read_cursor, run_key
from planasonix.watch import Kind
from planasonix.watch.heard import RunKey

VERSION = 1
OPEN_AT_MOST = 500
"""Of one connection: what is listed beyond them is listed again later."""
SEEN_AT_MOST = 2_000
"""Of one connection, within the overlap of two looks."""

LONGEST_CHUNK_SECONDS = 86_400.0
"""A connection's jobs are listed by the day: after a long pause no single list takes longer than a look."""

_BOUNDS_ARE_ROUNDED_SECONDS = 60.0


@dataclass
class OpenRun:
    """A run that was seen and not told yet. Times are seconds since the epoch: `created_at` by the API's clock.

    `due_at`, by our own clock: when its owner is asked about it though it goes on. `sure`: False where it is to be
    asked again whose run it is. `tries` counts the looks in which telling it failed, `failing_since` is when, by our
    own clock, that began. `heard_at`, by our own clock: when an event said that it has ended; see `hinted`.
    """

    created_at: float
    due_at: float | None = None
    sure: bool = True
    tries: int = 0
    failing_since: float | None = None
    heard_at: float | None = None

    def to_list(self) -> list[object]:
        """`heard_at` only where it is set: lists know no such thing, and older versions can read theirs."""
        told: list[object] = [round(self.created_at, 3), self.due_at, self.sure, self.tries, self.failing_since]
        return told if self.heard_at is None else [*told, round(self.heard_at, 3)]


@dataclass
class Place:
    """How far one connection was read. All times are the API's, in seconds since the epoch.

    What had ended before `began_at` is history. `marks`: the lists of that kind were read up to then. `floors`: up to
    then ids were forgotten; a list that reaches back further shows nothing new there. `chunk_seconds`: for how much
    time one list of jobs is asked.
    """

    began_at: float
    marks: dict[Kind, float]
    open: dict[RunKey, OpenRun] = field(default_factory=dict[RunKey, OpenRun])
    seen: dict[RunKey, float] = field(default_factory=dict[RunKey, float])
    floors: dict[Kind, float] = field(default_factory=dict[Kind, float])
    chunk_seconds: float = LONGEST_CHUNK_SECONDS

    def deal_with(self, key: RunKey, created_at: float) -> None:
        """The run needs no further look."""
        self.open.pop(key, None)
        self.seen[key] = created_at

    def not_after(self, now: float) -> None:
        """Mend what a clock that was wrong for once has set into the future: up to then nothing would be listed."""
        self.began_at = min(self.began_at, now)
        self.marks = {kind: min(at, now) for kind, at in self.marks.items()}

    def forget_before(self, overlap_seconds: float) -> None:
        """Drop the ids that no list shows any more."""
        kept = overlap_seconds + _BOUNDS_ARE_ROUNDED_SECONDS
        oldest_first = sorted(self.seen, key=self.seen.__getitem__)
        too_many = len(oldest_first) - SEEN_AT_MOST
        for number, key in enumerate(oldest_first):
            if number < too_many or self.seen[key] < self.marks[key[0]] - kept:
                self.floors[key[0]] = max(self.floors.get(key[0], 0.0), self.seen.pop(key))

    def is_forgotten(self, key: RunKey, created_at: float) -> bool:
        """Whether the run was dealt with so long ago that its id is not kept."""
        return key not in self.open and 0.0 < round(created_at, 3) <= round(self.floors.get(key[0], 0.0), 3)


@dataclass
class PollCursor:
    """The places of all connections, whose turn is next, and for how many looks common lists are left alone."""

    places: dict[str, Place] = field(default_factory=dict[str, Place])
    next_turn: str | None = None
    looks_without_common: dict[Kind, int] = field(default_factory=dict[Kind, int])

    def in_turn(self, connection_ids: Iterable[str]) -> list[str]:
        """The ids from whose turn it is on. One that is gone passes its turn to the one after it."""
        ordered = sorted(set(connection_ids))
        first = next((i for i, each in enumerate(ordered) if self.next_turn is None or each >= self.next_turn), 0)
        return ordered[first:] + ordered[:first]

    def to_text(self) -> str:
        """JSON, fit for an orchestrator's cursor."""
        places = {
            connection_id: {
                "began_at": round(place.began_at, 3),
                "marks": {kind: round(at, 3) for kind, at in place.marks.items()},
                "open": [[*key, *one.to_list()] for key, one in place.open.items()],
                "floors": {kind: round(at, 3) for kind, at in place.floors.items()},
                "chunk_seconds": round(place.chunk_seconds, 3),
                "seen": [[*key, round(at, 3)] for key, at in place.seen.items()],
            }
            for connection_id, place in self.places.items()
        }
        data = {
            "version": VERSION,
            "next_turn": self.next_turn,
            "looks_without_common": self.looks_without_common,
            "places": places,
        }
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> PollCursor:
        """Read what `to_text` wrote; None or "" is the first look.

        Raises `ConfigurationError` for another text: beginning anew would silently leave out what ended meanwhile.
        """
        if not text:
            return cls()
        return read_cursor(
            text,
            VERSION,
            cls._made_of,
            what="The stored cursor",
            field="cursor",
            hint="Use the version that wrote it, or reset the cursor: then only what ends from now on is told.",
        )

    @classmethod
    def _made_of(cls, data: dict[str, Any]) -> PollCursor:
        places = {str(name): _place(cast("dict[str, Any]", one)) for name, one in data["places"].items()}
        without: dict[Kind, int] = {kind: int(number) for kind, number in data["looks_without_common"].items()}
        return cls(places, data["next_turn"], without)


def _place(data: dict[str, Any]) -> Place:
    marks: dict[Kind, float] = {kind: float(data["marks"][kind]) for kind in ("job", "backfill")}
    opened: dict[RunKey, OpenRun] = {}
    for kind, run_id, created_at, due_at, sure, tries, failing_since, *heard_at in data["open"]:
        opened[run_key(kind, run_id)] = OpenRun(
            float(created_at), _moment(due_at), bool(sure), int(tries), _moment(failing_since), *map(_moment, heard_at)
        )
    seen = {run_key(kind, run_id): float(at) for kind, run_id, at in data["seen"]}
    floors: dict[Kind, float] = {kind: float(at) for kind, at in data["floors"].items()}
    return Place(float(data["began_at"]), marks, opened, seen, floors, float(data["chunk_seconds"]))


def _moment(seconds: Any) -> float | None:
    return None if seconds is None else float(seconds)
