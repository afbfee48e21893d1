"""What a user wishes for, as plain data: a sync, a backfill, a run of a pipeline.

The rules about single fields are those of `planasonix.models.bodies`, imported on use: a DAG file that only names an
operator shall not pay for the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from planasonix.models import BackfillRequestBody, PipelineRunRequestBody, SyncRequestBody
    from planasonix.watch import Kind

Operation = Literal["connections.sync", "connections.backfill", "pipelines.run"]


@dataclass(frozen=True)
class SyncRequest:
    """An incremental sync of one connection (facts §1.1).

    `expected_tables` is not sent: it names the tables that the outcome should account for. Raises
    `ConfigurationError`, which names the field and the fix.
    """

    connection_id: str
    pipeline_id: str | None = None
    priority: str | None = None
    expected_tables: tuple[str, ...] = ()

    operation: ClassVar[Operation] = "connections.sync"
    kind: ClassVar[Kind] = "job"
    job_type: ClassVar[str] = "connection_sync"

    def __post_init__(self) -> None:
        require_id("connection", self.connection_id)
        object.__setattr__(self, "expected_tables", table_names("expected_tables", self.expected_tables))
        self._body({})

    @property
    def target_id(self) -> str:
        """What the run works on: the connection."""
        return self.connection_id

    def identity(self) -> dict[str, Any]:
        """What makes two wishes the same job: part of the idempotency key."""
        return {"pipeline_id": self.pipeline_id}

    @classmethod
    def from_body(cls, connection_id: str, body: Mapping[str, Any]) -> SyncRequest:
        """The request that was sent with this body."""
        return cls(connection_id, pipeline_id=body.get("pipeline_id"), priority=body.get("priority"))

    @staticmethod
    def may_be(asked: Mapping[str, Any], run: Any) -> bool:
        """Whether a listed job of the connection and type may be the one that was asked for with this body."""
        ours, theirs = asked.get("pipeline_id"), getattr(run, "pipeline_id", None)
        return ours is None or theirs is None or theirs == ours

    def body(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The request body: only documented fields, only those that were set."""
        return self._body(metadata).to_wire()

    def _body(self, metadata: Mapping[str, Any]) -> SyncRequestBody:
        from planasonix.models import SyncRequestBody

        return SyncRequestBody(pipeline_id=self.pipeline_id, priority=self.priority, metadata=dict(metadata) or None)


@dataclass(frozen=True)
class BackfillRequest:
    """A load of the half-open window [`start_at`, `end_at`) of one connection (facts §1.1, C37).

    Both ends are timezone-aware datetimes, or ISO 8601 texts with an offset, and kept in UTC. No `tables` means all of
    the connection's tables. Raises `ConfigurationError`, which names the field and the fix.
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
        require_id("connection", self.connection_id)
        if self.tables is not None:
            object.__setattr__(self, "tables", table_names("tables", self.tables))
        body = self._body({})
        object.__setattr__(self, "start_at", body.start_at)
        object.__setattr__(self, "end_at", body.end_at)

    @property
    def expected_tables(self) -> tuple[str, ...]:
        return self.tables or ()

    @property
    def target_id(self) -> str:
        """What the run works on: the connection."""
        return self.connection_id

    def identity(self) -> dict[str, Any]:
        """What makes two wishes the same job: part of the idempotency key."""
        wire = self.body({})
        return {"window": [wire["start_at"], wire["end_at"]], "tables": sorted(self.tables) if self.tables else None}

    @classmethod
    def from_body(cls, connection_id: str, body: Mapping[str, Any]) -> BackfillRequest:
        """The request that was sent with this body. Raises `KeyError` where that is damaged."""
        return cls(connection_id, body["start_at"], body["end_at"], body.get("tables"), body.get("priority"))

    @staticmethod
    def may_be(asked: Mapping[str, Any], run: Any) -> bool:
        """Whether a backfill may be the one that was asked for with this body: a list shows its window, a GET also its
        tables.
        """
        window = (getattr(run, "start_at", None), getattr(run, "end_at", None))
        if window != tuple(datetime.fromisoformat(asked[name]) for name in ("start_at", "end_at")):
            return False
        ours, theirs = asked.get("tables"), getattr(run, "tables", None)
        # Without tables we asked for all of them, and the server may name those.
        return ours is None or not theirs or set(ours) == set(theirs)

    def body(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The request body: only documented fields, only those that were set."""
        return self._body(metadata).to_wire()

    def _body(self, metadata: Mapping[str, Any]) -> BackfillRequestBody:
        from planasonix.models import BackfillRequestBody

        return BackfillRequestBody(
            start_at=self.start_at,
            end_at=self.end_at,
            tables=None if self.tables is None else list(self.tables),
            priority=self.priority,
            metadata=dict(metadata) or None,
        )


@dataclass(frozen=True)
class PipelineRunRequest:
    """One run of a pipeline (facts §1.4).

    `environment_id` is the id of an environment; left out, the client's `environment` setting counts. `variables` is a
    JSON object by the names of the pipeline's variables: never put secrets there.

    A run carries no metadata: no such field is documented. With `forward_context` what a job's metadata would say
    (who started it, from where) is sent as variables instead, and `variables` of the same name count. That is not the
    default, because whether a pipeline takes variables that it does not declare is documented nowhere.
    `variables_field` is the name under which they are sent; left out, the client's `run_variables_field`. Raises
    `ConfigurationError`, which names the field and the fix.

    >>> PipelineRunRequest("pl_daily_revenue", variables={"day": "2026-01-05"}).body({})
    {'variables': {'day': '2026-01-05'}}
    """

    pipeline_id: str
    environment_id: str | None = None
    variables: Mapping[str, Any] | None = None
    forward_context: bool = False
    variables_field: Literal["variables", "parameters"] | None = None

    operation: ClassVar[Operation] = "pipelines.run"
    kind: ClassVar[Kind] = "run"
    job_type: ClassVar[str] = "pipeline_run"
    expected_tables: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_id("pipeline", self.pipeline_id)
        self._body({})
        # The key is made of them: what the caller does to its own afterwards is another wish.
        object.__setattr__(self, "variables", deepcopy(self.variables))

    @property
    def target_id(self) -> str:
        """What the run works on: the pipeline."""
        return self.pipeline_id

    def identity(self) -> dict[str, Any]:
        """What makes two wishes the same run: part of the idempotency key."""
        return {"environment_id": self.environment_id, "variables": dict(self.variables or {})}

    @classmethod
    def from_body(cls, pipeline_id: str, body: Mapping[str, Any]) -> PipelineRunRequest:
        """The request that was sent with this body."""
        field: Literal["variables", "parameters"] = "parameters" if "parameters" in body else "variables"
        return cls(pipeline_id, body.get("environmentId"), body.get(field), variables_field=field)

    @staticmethod
    def may_be(asked: Mapping[str, Any], run: Any) -> bool:
        """Whether a listed run of the pipeline may be the one that was asked for: the API shows no variables, but it
        shows which runs a schedule started.
        """
        return not str(getattr(getattr(run, "trigger", None), "type", None) or "").startswith("schedule")

    def body(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The request body: only documented fields, only those that were set."""
        return self._body(metadata).to_wire()

    def _body(self, metadata: Mapping[str, Any]) -> PipelineRunRequestBody:
        from planasonix.models import PipelineRunRequestBody

        # Anything but a mapping is for the body to refuse.
        variables = cast(object, self.variables)
        if self.forward_context and isinstance(variables, Mapping | None):
            variables = {**metadata, **cast("Mapping[str, Any]", variables or {})} or None
        return PipelineRunRequestBody(
            variables=cast(Any, variables),
            environment_id=self.environment_id,
            variables_field="variables" if self.variables_field is None else self.variables_field,
        )


RunRequest = SyncRequest | BackfillRequest | PipelineRunRequest
_KINDS: tuple[type[RunRequest], ...] = (SyncRequest, BackfillRequest, PipelineRunRequest)


class _Settings(Protocol):
    @property
    def environment(self) -> str | None: ...
    @property
    def run_variables_field(self) -> Literal["variables", "parameters"]: ...


def with_settings(request: RunRequest, settings: _Settings) -> RunRequest:
    """The request as a client with these settings sends it."""
    if not isinstance(request, PipelineRunRequest):
        return request
    environment_id = settings.environment if request.environment_id is None else request.environment_id
    field = settings.run_variables_field if request.variables_field is None else request.variables_field
    return replace(request, environment_id=environment_id, variables_field=field)


def request_class(operation: str) -> type[RunRequest]:
    """The class of the requests of an operation, as a stored record names it. Raises `ValueError` for another word."""
    for each in _KINDS:
        if each.operation == operation:
            return each
    raise ValueError(f"this version knows no {operation}")


_EXAMPLES = {"connection": "conn_01jq8k2m3n4p5q6r7s8t9u0v1", "pipeline": "pl_01hqxyz"}


def require_id(what: Literal["connection", "pipeline"], value: object) -> None:
    """Raises `ConfigurationError` for what cannot be an id."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(
            f"{what}_id must be the id of a Planasonix {what}, got {value!r}.",
            field=f"{what}_id",
            hint=f"Copy it from the {what}'s page, for example {_EXAMPLES[what]}.",
        )


def table_names(field: str, value: object) -> tuple[str, ...]:
    """A tuple of table names; one text would silently become its letters."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise ConfigurationError(
            f"{field} must be a list of table names, got {value!r}.", field=field, hint="As in ['public.orders']."
        )
    names = tuple(cast(Sequence[Any], value))
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigurationError(f"{field} must hold non-empty table names, got {value!r}.", field=field)
    return names
