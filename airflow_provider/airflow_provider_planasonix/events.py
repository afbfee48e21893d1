"""What a trigger tells the worker that takes over from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from planasonix.errors import ConfigurationError

End = Literal["ended", "deadline", "gave_up"]


@dataclass(frozen=True)
class WaitEnd:
    """The end of a wait: `ended` (the run is terminal; `status` is the API's word), `deadline`, or `gave_up`.

    `error` says why for the last two. It is a hint, not the truth: the worker reads the run itself.
    """

    end: End
    handle: dict[str, Any]
    status: str | None = None
    error: str | None = None
    version: int = 1

    def to_payload(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_payload(cls, payload: dict[str, Any] | None) -> WaitEnd:
        """Read a payload; anything that is not one of ours is an error, never a success."""
        if not isinstance(payload, dict) or payload.get("end") not in get_args(End) or "handle" not in payload:
            raise ConfigurationError(
                f"The task was resumed with an event that is not one of planasonix: {payload!r}.",
                hint="The run was left as it is; clear the task to wait for it again.",
            )
        return cls(**{name: payload[name] for name in cls.__dataclass_fields__ if name in payload})
