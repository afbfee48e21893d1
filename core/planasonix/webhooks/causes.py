"""What started a run of an orchestrator: the event, as plain data that a run can carry in its parameters or tags.

    cause = Cause.of(stored)                     # where an event starts something
    payload = cause.to_dict()                    # JSON-ready: goes with the run that is started
    …
    causes = [Cause.from_dict(payload)]          # in that run
    provenance = deeper(provenance, causes, action="reload.orders", inbox_url=url)   # FeedbackLoopError: too deep
    note_started(causes, "reload.orders", "job", handle.id, inbox_url=url)

An inbox in reach makes the chain whole, over all orchestrators that use it; without one, or while it is away, what the
event itself told counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from planasonix.errors import FeedbackLoopError, redact
from planasonix.webhooks.event import Event
from planasonix.webhooks.loops import MAX_DEPTH, LoopGuard, guard

if TYPE_CHECKING:
    from planasonix.runs import Provenance
    from planasonix.watch import Kind
    from planasonix.webhooks.inbox import StoredEvent

T = TypeVar("T")
_ENDLESS = 1_000_000
_KINDS: tuple[Kind, ...] = ("job", "backfill", "run")
_LONGEST_ACTION = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cause:
    """An event, and `depth`: how many runs events had started above the one that it tells of, that one included."""

    event: Event
    depth: int = 0

    @classmethod
    def of(cls, stored: StoredEvent) -> Cause:
        """Of an event of the inbox, with what its body says of the depth; `deeper` asks the inbox for the rest."""
        return cls(stored.event, guard(stored.event, _ENDLESS) - 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, always with the same names, and nothing else of the body, which may hold data of the tenant's."""
        event = self.event
        return {
            "event_id": event.event_id,
            "type": event.type,
            "kind": event.kind,
            "id": event.object_id,
            "job_id": event.job_id,
            "backfill_id": event.backfill_id,
            "connection_id": event.connection_id,
            "status": event.status,
            "finished_at": None if event.occurred_at is None else event.occurred_at.isoformat(),
            "depth": self.depth,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cause | None:
        """Of what `to_dict` made, in any version; None for what is none. Never raises: a person may have typed it."""
        event_id, kind, type_ = data.get("event_id"), data.get("kind"), data.get("type")
        if not isinstance(event_id, str) or kind not in _KINDS or not isinstance(data.get("id"), str):
            return None
        depth = data.get("depth")
        named = {name: found for name in ("job_id", "backfill_id") if (found := _text(data.get(name))) is not None}
        return cls(
            Event(
                event_id=event_id,
                type=type_ if isinstance(type_, str) else f"{kind}.ended",
                kind=kind,
                object_id=_text(data.get("id")),
                connection_id=_text(data.get("connection_id")),
                status=_text(data.get("status")),
                occurred_at=_moment(data.get("finished_at")),
                payload=named,
            ),
            depth if isinstance(depth, int) and not isinstance(depth, bool) and depth > 0 else 0,
        )


def deeper(
    provenance: Provenance,
    causes: Sequence[Cause],
    *,
    action: str,
    inbox_url: str | None = None,
    max_depth: int = MAX_DEPTH,
) -> Provenance:
    """The provenance of what these events start, one deeper than the deepest; the same one for none.

    `action` is a name of what is started that stays the same over tries. An inbox that is away is logged and stops
    nothing. Raises `FeedbackLoopError` where `max_depth` runs in a row were started by events.
    """
    depth, ids = provenance.depth, [cause.event.event_id for cause in causes]
    for cause in causes:

        def claimed(loops: LoopGuard, cause: Cause = cause) -> int:
            return loops.enter(cause.event, action[-_LONGEST_ACTION:], depth=cause.depth).depth

        found = _with_inbox(inbox_url, claimed, max_depth)
        depth = max(depth, guard(cause.event, max_depth, depth=cause.depth) if found is None else found)
    details = {**provenance.details, "caused_by_event": ids[0]} if ids else provenance.details
    return replace(provenance, depth=depth, details=details)


def note_started(
    causes: Sequence[Cause],
    action: str,
    kind: Kind,
    run_id: str,
    *,
    inbox_url: str | None = None,
    job_ids: Iterable[str] = (),
) -> None:
    """Tell the inbox which run these events have started: not every tenant sends a job's metadata back."""
    jobs = tuple(job_ids)

    def note(loops: LoopGuard) -> Literal[True]:
        for cause in causes:
            # An act each: what is tried again starts another run, and the first one's events go on.
            act = loops.enter(cause.event, f"{action}/{run_id}"[-_LONGEST_ACTION:], depth=cause.depth)
            loops.started(act, kind, run_id, job_ids=jobs)
        return True

    if causes:
        _with_inbox(inbox_url, note, _ENDLESS)


def depth_of_run(inbox_url: str | None, kind: Kind, run_id: str) -> int:
    """How many runs of the chain of this one events have started, itself included, as the inbox knows it; else 0."""

    def look(loops: LoopGuard) -> int:
        return loops.depth_of(kind, run_id)

    return _with_inbox(inbox_url, look, _ENDLESS) or 0


def _with_inbox(inbox_url: str | None, use: Callable[[LoopGuard], T], max_depth: int) -> T | None:
    """What `use` makes of the inbox's guard; None where there is no inbox in reach, which stops nothing."""
    if inbox_url is None:
        return None
    from planasonix.webhooks.inbox import Inbox

    try:
        with Inbox.open(inbox_url) as inbox:
            return use(LoopGuard(inbox, max_depth=max_depth))
    except FeedbackLoopError:
        raise
    except Exception as error:
        _log.warning("the inbox does not tell which event started what: %s", redact(repr(error)))
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else None
