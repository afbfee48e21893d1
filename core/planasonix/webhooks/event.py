"""One event of the API's, as a signed body tells it. Standard library only, for other people's web handlers.

No schema of the bodies is published (facts §3.1): one sample is known, and a list of what a body must hold. So the
reader takes both vocabularies, and what it cannot read is absent rather than an error; only a body without a type
is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol, cast

from planasonix.models.status import TERMINAL_PHASES, RunKind, is_known_status, phase_of
from planasonix.watch.protocols import Kind

LONGEST_NAME = 200
"""Longer ids and types are no names: no such is documented, and a database's index has its limits."""

DEEPEST = 50
"""Levels of a body. One that could only just be read cannot be written down from deeper in the stack."""

_KIND_BY_PREFIX: dict[str, Kind] = {"job": "job", "backfill": "backfill", "run": "run", "pipeline": "run"}
_ID_NAMES: dict[Kind, tuple[str, ...]] = {
    "job": ("job_id", "jobId"),
    "backfill": ("backfill_id", "backfillId"),
    "run": ("run_id", "runId"),
}
_ID_PREFIXES: dict[Kind, str] = {"job": "job_", "backfill": "bf_", "run": "run_"}
_RUN_KINDS: dict[Kind, RunKind] = {"job": "job", "backfill": "backfill", "run": "pipeline_run"}
_TIME_NAMES = ("timestamp", "occurred_at", "occurredAt", "time", "created_at", "createdAt")
# Where a body may say it in milliseconds: as seconds it would be the year 5138.
_MILLISECONDS_FROM = 1e11


class UnreadableEvent(ValueError):
    """A body that is no event: not JSON, not an object, or without a type. Its text never quotes the body."""


class EndedRun(Protocol):
    """What `Event.of_run` reads of a job, backfill or pipeline run."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str | None: ...
    @property
    def phase(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Event:
    """One event: what happened to which run.

    `event_id` is the id in the signed body, else `sha256:` and the hash of the body. `type` is the API's word, open.
    `kind` and `object_id` name the run ("job", "backfill" or "run" of a pipeline), None where the body does not.
    `status` is "succeeded", "failed" or "cancelled" once the run has ended, as the body and else the type say; None
    for any other word. `occurred_at` is the time in the body, aware, in UTC. `payload` is the whole body; it is in no
    repr, because it may hold data of the tenant's.

    Source: facts §3.1.

    >>> Event.parse(b'{"id": "evt_1", "type": "job.completed", "job_id": "job_1"}').status
    'succeeded'
    """

    event_id: str
    type: str
    kind: Kind | None
    object_id: str | None
    connection_id: str | None
    status: str | None
    occurred_at: datetime | None
    payload: Mapping[str, Any] = field(repr=False, hash=False)

    @property
    def job_id(self) -> str | None:
        """The id of the job, also where a body names one beside its backfill or run."""
        if self.kind == "job":
            return self.object_id
        return _found(self.payload, _ID_NAMES["job"])

    @property
    def backfill_id(self) -> str | None:
        """The id of the backfill, also where a body names it beside one of its jobs."""
        if self.kind == "backfill":
            return self.object_id
        return _found(self.payload, _ID_NAMES["backfill"])

    @classmethod
    def parse(cls, body: bytes) -> Event:
        """Returns the event that a delivery's body tells.

        Proves nothing: see `planasonix.webhooks.verify`. Raises UnreadableEvent, and nothing else, for a body that is
        not a JSON object with a type.
        """
        payload = _object_of(body)
        type_ = _name(payload.get("type")) or _name(payload.get("event")) or _name(payload.get("event_type"))
        if type_ is None:
            raise UnreadableEvent("The body of the delivery names no event type.")
        kind = _kind_of(type_, payload)
        object_id = _object_id_of(payload, kind)
        own_id = next(filter(None, (_name(payload.get(name)) for name in ("event_id", "eventId", "id"))), None)
        # A body that has its run's id for an own would hide the run's next event behind its first.
        if own_id is None or own_id == object_id:
            own_id = "sha256:" + hashlib.sha256(body).hexdigest()
        return cls(
            event_id=own_id,
            type=type_,
            kind=kind,
            object_id=object_id,
            connection_id=_found(payload, ("connection_id", "connectionId")),
            status=_status_of(type_, payload, kind),
            occurred_at=next(filter(None, (_time_of(payload.get(name)) for name in _TIME_NAMES)), None),
            payload=payload,
        )

    @classmethod
    def of_run(cls, run: EndedRun, kind: Kind) -> Event:
        """Returns what a delivery would have said of a run that has ended; its id is the same each time.

        Raises ValueError for a run that has not ended.
        """
        if run.phase not in TERMINAL_PHASES:
            raise ValueError(f"the {kind} {run.id} has not ended")
        word = "completed" if kind == "backfill" and run.phase == "succeeded" else run.phase
        ended: datetime | None = getattr(run, "finished_at", None)
        if ended is None and kind == "backfill":  # facts §1.1: it shows no other time of its end
            ended = getattr(run, "updated_at", None)
        connection_id: str | None = getattr(run, "connection_id", None)
        event_id, type_ = f"ended:{kind}:{run.id}:{run.phase}", f"{kind}.{word}"
        payload: dict[str, Any] = {"id": event_id, "type": type_, _ID_NAMES[kind][0]: run.id}
        if ended is not None:
            payload["timestamp"] = ended.astimezone(UTC).isoformat()
        if connection_id is not None:
            payload["connection_id"] = connection_id
        payload["data"] = {"status": str(run.status)}
        return cls(event_id, type_, kind, run.id, connection_id, run.phase, ended, payload)


def _object_of(body: bytes) -> dict[str, Any]:
    try:
        payload: Any = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UnreadableEvent("The body of the delivery is not JSON.") from None
    if not isinstance(payload, dict):
        raise UnreadableEvent("The body of the delivery is not a JSON object.")
    if body.count(b"[") + body.count(b"{") > DEEPEST and _is_deep(payload):
        raise UnreadableEvent("The body of the delivery is nested too deeply.")
    return cast("dict[str, Any]", payload)


def _is_deep(payload: Any) -> bool:
    level: list[Any] = [payload]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += cast("dict[str, Any]", one).values()
            elif isinstance(one, list):
                inner += cast("list[Any]", one)
        level = inner
    return any(isinstance(one, dict | list) for one in level)


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _name(value: Any) -> str | None:
    """A word that can stand in any log, index and database: no control characters, no halves of characters."""
    if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable() and value.strip() == value:
        return value
    return None


def _kind_of(type_: str, payload: Mapping[str, Any]) -> Kind | None:
    by_type = _KIND_BY_PREFIX.get(type_.partition(".")[0])
    return by_type or next((kind for kind, names in _ID_NAMES.items() if _found(payload, names)), None)


def _object_id_of(payload: Mapping[str, Any], kind: Kind | None) -> str | None:
    if kind is None:
        return None
    named = _found(payload, _ID_NAMES[kind])
    if named is not None:
        return named
    data = _inner(payload, "data")
    for place in (_inner(payload, kind), _inner(data, kind), data):
        if found := _name(place.get("id")):
            return found
    own = _name(payload.get("id"))
    return own if own is not None and own.startswith(_ID_PREFIXES[kind]) else None


def _found(payload: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    data = _inner(payload, "data")
    places = (payload, data, *(_inner(each, kind) for each in (payload, data) for kind in _ID_NAMES))
    return next(filter(None, (_name(place.get(name)) for place in places for name in names)), None)


def _inner(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value: Any = payload.get(name)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _status_of(type_: str, payload: Mapping[str, Any], kind: Kind | None) -> str | None:
    """The body's word before the type's: `completed` in a type may only mean that the run is over."""
    if kind is None:
        return None
    said = _found(payload, ("status",))
    if said is not None:
        if not is_known_status(said):
            return None
        phase = phase_of(said, ended=False, kind=_RUN_KINDS[kind])
        if phase in TERMINAL_PHASES:
            return phase
    phase = phase_of(type_.rpartition(".")[2], ended=False, kind=_RUN_KINDS[kind])
    return phase if phase in TERMINAL_PHASES else None


def _time_of(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value / 1000 if abs(value) >= _MILLISECONDS_FROM else value, UTC)
        else:
            return None
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None if moment.year == 1 else moment  # the zero time of a server that means: not set
