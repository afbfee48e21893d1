"""Ids, times and secrets as the server writes them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, SecretStr, SerializationInfo, StringConstraints

# As the context of a dump it writes secrets in the clear. Compared by identity, so nobody gets there by
# accident.
REVEAL: dict[str, str] = {"secrets": "in the clear"}


def read_timestamp(value: Any) -> datetime:
    """Returns an aware time in UTC; raises ValueError if the value is none.

    ISO 8601 with `Z`, with an offset, or with neither: that is read as UTC, as all documented samples are.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if moment.year == 1:
            raise ValueError("the zero time of a server that means: not set")
        if moment.tzinfo is UTC:
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, OverflowError):
        raise ValueError("not a time") from None


def write_timestamp(moment: datetime) -> str:
    """Returns an aware time as RFC 3339 in UTC with `Z`, as all documented samples have it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _write_secret(value: SecretStr, info: SerializationInfo) -> str:
    return value.get_secret_value() if info.context is REVEAL else str(value)


Id = Annotated[str, StringConstraints(min_length=1)]
Timestamp = Annotated[
    datetime,
    PlainValidator(read_timestamp),
    PlainSerializer(write_timestamp, return_type=str, when_used="json"),
]
Secret = Annotated[SecretStr, PlainSerializer(_write_secret, return_type=str, when_used="json")]
