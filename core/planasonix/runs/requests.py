"""What a user wishes for, as plain data: a sync, a backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, cast

from planasonix.errors import ConfigurationError
from planasonix.watch import Kind

Operation = Literal["connections.sync", "connections.backfill"]


@dataclass(frozen=True)
class SyncRequest:
    """An incremental sync of one connection (facts §1.1).

    `expected_tables` is not sent: it names the tables that the outcome should account for.
    """

    connection_id: str
    pipeline_id: str | None = None
    priority: str | None = None
    expected_tables: tuple[str, ...] = ()

    operation: ClassVar[Operation] = "connections.sync"
    kind: ClassVar[Kind] = "job"
    job_type: ClassVar[str] = "connection_sync"

    def __post_init__(self) -> None:
        _require_text("connection_id", self.connection_id)
        _refuse_blank("pipeline_id", self.pipeline_id)
        _refuse_blank("priority", self.priority)

    def identity(self) -> dict[str, Any]:
        """What makes two wishes the same job: part of the idempotency key."""
        return {"pipeline_id": self.pipeline_id}

    def matches(self, run: Any) -> bool:
        """Whether a listed job of this connection and type may be this request's."""
        theirs = getattr(run, "pipeline_id", None)
        return self.pipeline_id is None or theirs is None or theirs == self.pipeline_id

    def body(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The request body: only documented fields, only those that were set."""
        return _without_none(
            {"pipeline_id": self.pipeline_id, "priority": self.priority, "metadata": dict(metadata) or None}
        )


@dataclass(frozen=True)
class BackfillRequest:
    """A load of the half-open window [`start_at`, `end_at`) of one connection (facts §1.1, C37).

    Both ends are timezone-aware and kept in UTC. No `tables` means all of the connection's tables.
    """

    connection_id: str
    start_at: datetime
    end_at: datetime
    tables: tuple[str, ...] | None = None
    priority: str | None = None

    operation: ClassVar[Operation] = "connections.backfill"
    kind: ClassVar[Kind] = "backfill"
    job_type: ClassVar[str] = "backfill"

    def __post_init__(self) -> None:
        _require_text("connection_id", self.connection_id)
        _refuse_blank("priority", self.priority)
        object.__setattr__(self, "start_at", _aware_utc("start_at", self.start_at))
        object.__setattr__(self, "end_at", _aware_utc("end_at", self.end_at))
        if self.start_at >= self.end_at:
            raise ConfigurationError(
                f"end_at ({_rfc3339(self.end_at)}) must be later than start_at ({_rfc3339(self.start_at)}): "
                "the window is half-open and may not be empty.",
                hint="A run without a data interval (a manual one, or an @once schedule) has an empty window: "
                "pass start_at and end_at.",
            )
        if self.tables is not None:
            object.__setattr__(self, "tables", _table_names(self.tables))

    @property
    def expected_tables(self) -> tuple[str, ...]:
        return self.tables or ()

    def identity(self) -> dict[str, Any]:
        """What makes two wishes the same job: part of the idempotency key."""
        return {
            "window": [_rfc3339(self.start_at), _rfc3339(self.end_at)],
            "tables": sorted(self.tables) if self.tables else None,
        }

    def matches(self, run: Any) -> bool:
        """Whether a listed backfill of this connection may be this request's: the list shows its window."""
        return getattr(run, "start_at", None) == self.start_at and getattr(run, "end_at", None) == self.end_at

    def body(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The request body: only documented fields, only those that were set."""
        return _without_none(
            {
                "start_at": _rfc3339(self.start_at),
                "end_at": _rfc3339(self.end_at),
                "tables": list(self.tables) if self.tables else None,
                "priority": self.priority,
                "metadata": dict(metadata) or None,
            }
        )


RunRequest = SyncRequest | BackfillRequest


def _require_text(field: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{field} must be a non-empty string, got {value!r}.")


def _refuse_blank(field: str, value: object) -> None:
    if value is not None:
        _require_text(field, value)


def _table_names(tables: object) -> tuple[str, ...]:
    if isinstance(tables, str) or not isinstance(tables, tuple | list):
        raise ConfigurationError(f"tables must be a list of table names, got {tables!r}.")
    names: tuple[str, ...] = tuple(cast(Sequence[str], tables))
    for name in names:
        _require_text("tables", name)
    if not names:
        raise ConfigurationError("tables is an empty list: leave it out to load all tables.")
    return names


def _aware_utc(field: str, value: object) -> datetime:
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{field} must be a datetime, got {type(value).__name__}.")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ConfigurationError(
            f"{field} has no time zone: {value.isoformat()}.",
            hint="Add one, for example tzinfo=datetime.UTC.",
        )
    return value.astimezone(UTC)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
