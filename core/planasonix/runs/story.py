"""What a wait has seen, in a few sentences: said when it happens, and told again by whoever takes over.

A wait may move between processes whose logs are kept in different places, or not at all. So its story is plain text,
bounded in size, that fits into whatever one process hands to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from planasonix.errors import redact
from planasonix.runs.reporting import duration
from planasonix.watch.protocols import ENDED_PHASES, Kind, WatchedRun

REMIND_SECONDS = 600.0
"""How often a wait says a word while nothing changes."""

MOST_LINES = 20
_FIRST_KEPT = 5
_LONGEST_LINE = 300


class Story:
    """The lines of one wait, each with its time (UTC). The first five and the newest ones are kept, twenty in all.

    story = Story()
    run = wait_for_run(client, handle, on_change=story.listener(handle.kind, print), remind_seconds=REMIND_SECONDS)
    hand_over(story.lines())
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._first: list[str] = []
        self._last: list[str] = []
        self._left_out = 0

    def add(self, text: str) -> str:
        """Keep a sentence, and return it as it is to be logged: without what looks like a secret, and not endless."""
        text = _short(text)
        line = f"{datetime.fromtimestamp(self._now(), UTC):%Y-%m-%d %H:%M:%SZ} {text}"
        if len(self._first) < _FIRST_KEPT:
            self._first.append(line)
            return text
        self._last.append(line)
        if len(self._last) > MOST_LINES - _FIRST_KEPT - 1:
            del self._last[0]
            self._left_out += 1
        return text

    def lines(self) -> list[str]:
        """At most twenty lines of at most some 300 characters."""
        gap = [f"… and {self._left_out} more"] if self._left_out else []
        return [*self._first, *gap, *self._last]

    def listener(
        self, kind: Kind, log: Callable[[str], object], *, link: str | None = None, prefix: str = ""
    ) -> Callable[[WatchedRun], None]:
        """For `on_change` of a wait: keeps what is new of the run and passes it to `log`, one sentence a call.

        `link` is told with the first one, `prefix` with each.
        """
        seen: WatchedRun | None = None
        since = self._now()

        def saw(run: WatchedRun) -> None:
            nonlocal seen, since
            now = self._now()
            # What one run was says nothing of the next: who waits for any of a connection may see several.
            before = seen if seen is not None and seen.id == run.id else None
            text = f"{prefix}{kind} {run.id} is {_still(before, run)}{run.status}"
            if before is None:
                text += _begun(run)
            elif before.status == run.status or run.phase in ENDED_PHASES:
                text += f" after {duration(now - (since if before.status == run.status else _born(run, since)))}"
            else:
                text += f", after {duration(now - since)} {before.status}"
            if before is None or before.status != run.status:
                since = now
            text += "".join(f", {part}" for part in progress_of(run))
            if before is None and link:
                text += f": {link}"
            seen = run
            log(self.add(text))

        return saw


def retold(lines: object) -> str | None:
    """A story that came from elsewhere, as one text to log; None where there is none.

    `lines` is what `Story.lines` gave, after whatever way it took: anything that is not a list of texts is no story.
    """
    if not isinstance(lines, list):
        return None
    texts = [_short(line) for line in cast("list[object]", lines)[:MOST_LINES] if isinstance(line, str)]
    if not texts:
        return None
    return "Seen while it was waited for elsewhere:\n" + "\n".join(f"  {line}" for line in texts)


def progress_of(run: object) -> list[str]:
    """How far a run is, as far as the API says: shares, rows, jobs. A list row says less than a GET (facts §1.1)."""
    metrics = getattr(run, "metrics", None)
    rows = _number(metrics, "rows_loaded") or _number(run, "rows_processed") or _number(run, "rows_written")
    extracted = _number(metrics, "rows_extracted") or _number(metrics, "rows_read")
    percent = percent_of(run)
    jobs = len(getattr(run, "job_ids", None) or ())
    parts = [f"{percent:g} %"] if percent is not None else []
    parts += [f"{rows:,} rows loaded"] if rows else [f"{extracted:,} rows read"] if extracted else []
    return parts + ([f"{jobs} jobs"] if jobs > 1 else [])


def percent_of(run: object) -> int | float | None:
    """How far a run is, 0 to 100, where the API says so: it does of a backfill, not of a job (facts §4.2 C21)."""
    percent = _number(run, "progress_percent")
    return percent if percent is not None and 0 <= percent <= 100 else None


def _short(text: str) -> str:
    # What lies behind the cut is not shown, so a secret that is cut in two there is none.
    text = " ".join(redact(text[: 4 * _LONGEST_LINE]).split())
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"


def _still(before: WatchedRun | None, run: WatchedRun) -> str:
    return "still " if before is not None and before.status == run.status else ""


def _begun(run: WatchedRun) -> str:
    """Since when, by the API's own stamps: who joins late, or again after a restart, tells it nevertheless."""
    word = "started" if getattr(run, "started_at", None) else "created"
    moment = getattr(run, "started_at", None) or run.created_at
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return ""
    return f" ({word} {moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ})"


def _born(run: WatchedRun, since: float) -> float:
    """When the run was created. Not later than what was seen of it: clocks differ."""
    moment = run.created_at
    return min(since, moment.timestamp()) if isinstance(moment, datetime) and moment.tzinfo is not None else since


def _number(holder: object, name: str) -> int | float | None:
    value = getattr(holder, name, None)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
