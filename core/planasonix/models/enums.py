"""The words of the API as open enums: strings with named constants that also take a word that is new.

A closed enum would make a whole page unreadable on the day the server learns a new status.
"""

from typing import Any, ClassVar, Self, TypeVar

_E = TypeVar("_E", bound="OpenEnum")


class _Word:
    """A published word, read from the class as a member of it: `JobStatus.QUEUED`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __get__(self, instance: object, owner: type[_E]) -> _E:
        return owner.of(self.text)


class OpenEnum(str):
    """A string that knows which words are published.

    `JobStatus.QUEUED == "queued"` is true, `JobStatus("new").is_known` is false.
    """

    __slots__ = ()
    _members: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        words = [value.text for value in vars(cls).values() if isinstance(value, _Word)]
        cls._members = {word: cls(word) for word in words}

    @classmethod
    def of(cls, word: str) -> Self:
        """Returns the word as this enum; each published word is one object."""
        return cls._members.get(word) or cls(word)

    @classmethod
    def known(cls) -> tuple[Self, ...]:
        """The published words, in the order of the documentation."""
        return tuple(cls._members.values())

    @property
    def is_known(self) -> bool:
        """Whether the word is among the published ones."""
        return self in self._members

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # Imported here so that the words can be used without pydantic.
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            cls.of, core_schema.str_schema(strict=True), serialization=core_schema.to_string_ser_schema()
        )


class JobStatus(OpenEnum):
    """Status of a job. `cancelling` appears in the answer to a cancel only. Facts §4.1."""

    QUEUED = _Word("queued")
    RUNNING = _Word("running")
    SUCCEEDED = _Word("succeeded")
    FAILED = _Word("failed")
    CANCELLED = _Word("cancelled")
    CANCELLING = _Word("cancelling")


class JobType(OpenEnum):
    """What a job does. The list is published as open ("etc."). Facts §4.1."""

    CONNECTION_SYNC = _Word("connection_sync")
    BACKFILL = _Word("backfill")
    PIPELINE_RUN = _Word("pipeline_run")


class BackfillStatus(OpenEnum):
    """Status of a backfill. Its word of success is `completed`, unlike a job's. Facts §4.1."""

    QUEUED = _Word("queued")
    RUNNING = _Word("running")
    COMPLETED = _Word("completed")
    FAILED = _Word("failed")
    CANCELLED = _Word("cancelled")


class PipelineRunStatus(OpenEnum):
    """Status of a pipeline run. `cancel_requested` appears in the answer to a cancel only. Facts §4.1."""

    QUEUED = _Word("queued")
    RUNNING = _Word("running")
    SUCCEEDED = _Word("succeeded")
    FAILED = _Word("failed")
    CANCELED = _Word("canceled")
    CANCEL_REQUESTED = _Word("cancel_requested")


class PipelineStatus(OpenEnum):
    """Where a pipeline is in its life: the documents' words, then the backend's others. Facts §4.1."""

    DRAFT = _Word("draft")
    ACTIVE = _Word("active")
    ARCHIVED = _Word("archived")
    PAUSED = _Word("paused")
    ERROR = _Word("error")


class Priority(OpenEnum):
    """Priority of a start. `high` may need the Enterprise plan. Facts §4.1."""

    LOW = _Word("low")
    NORMAL = _Word("normal")
    HIGH = _Word("high")


class DeliveryStatus(OpenEnum):
    """Status of one webhook delivery. Facts §4.1."""

    PENDING = _Word("pending")
    DELIVERED = _Word("delivered")
    FAILED = _Word("failed")


class WebhookEvent(OpenEnum):
    """Events that a webhook can subscribe to. No list of all events is published. Facts §3.1."""

    JOB_SUCCEEDED = _Word("job.succeeded")
    JOB_FAILED = _Word("job.failed")
    BACKFILL_COMPLETED = _Word("backfill.completed")


class TableType(OpenEnum):
    """Kind of a table of a connection, in the words of its database."""

    TABLE = _Word("TABLE")
    VIEW = _Word("VIEW")

    @property
    def is_view(self) -> bool:
        """Whether this is a view of some kind, materialized ones included."""
        return "VIEW" in self.upper()
