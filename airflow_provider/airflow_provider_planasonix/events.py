"""What a trigger tells the worker that takes over from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from airflow_provider_planasonix.metrics import count
from planasonix import errors
from planasonix.errors import APIError, ConfigurationError, PlanasonixError

End = Literal["ended", "deadline", "gave_up"]


@dataclass(frozen=True)
class WaitEnd:
    """The end of a wait: `ended` (the run is terminal; `status` is the API's word), `deadline`, or `gave_up`.

    `error` says why for the last two, `error_type` and `status_code` which error of planasonix it was. All of it is a
    hint, not the truth: the worker reads the run itself. `story` is what the trigger saw (`planasonix.runs.Story`): its
    own log may be out of reach afterwards.
    """

    end: End
    handle: dict[str, Any]
    status: str | None = None
    error: str | None = None
    error_type: str | None = None
    status_code: int | None = None
    story: Sequence[str] = ()
    version: int = 1

    @classmethod
    def gave_up(cls, handle: dict[str, Any], error: Exception, story: Sequence[str] = ()) -> WaitEnd:
        """The wait ended without knowing how the run ends."""
        kind, status_code = type(error).__name__, getattr(error, "status_code", None)
        count("give_up", error=kind)
        return cls("gave_up", handle, error=str(error), error_type=kind, status_code=status_code, story=story)

    def as_error(self) -> PlanasonixError:
        """The error that the trigger met, of its own class again, so that a retry policy can tell them apart."""
        error = self._revived()
        # A sensor's handle has no intent: the run is somebody else's, and goes on without it as well.
        error.run_goes_on = bool(self.handle.get("intent"))
        return error

    def _revived(self) -> PlanasonixError:
        kind, run_id = self.handle.get("kind"), self.handle.get("id")
        text = f"Waiting for Planasonix {kind} {run_id} ended without knowing how it ends: {self.error}"
        hint = "The run was left as it is; a retry of this task waits for it again."
        known = getattr(errors, self.error_type or "", None)
        if not isinstance(known, type) or not issubclass(known, PlanasonixError):
            return PlanasonixError(text, hint=hint)
        if issubclass(known, APIError) and self.status_code is not None:
            return known(text, status_code=self.status_code, hint=hint)
        make: Any = known
        try:
            return make(text, hint=hint)
        except TypeError:
            # It needs more than a text.
            return PlanasonixError(text, hint=hint)

    def to_payload(self) -> dict[str, Any]:
        return asdict(self) | {"story": list(self.story)}

    @classmethod
    def from_payload(cls, payload: dict[str, Any] | None) -> WaitEnd:
        """Read a payload; anything that is not one of ours is an error, never a success."""
        if not isinstance(payload, dict) or payload.get("end") not in get_args(End) or "handle" not in payload:
            raise ConfigurationError(
                f"The task was resumed with an event that is not one of planasonix: {payload!r}.",
                hint="The run was left as it is; a retry of this task waits for it again.",
            )
        return cls(**{name: payload[name] for name in cls.__dataclass_fields__ if name in payload})


def tell_again(event: Any, log: Any) -> None:
    """Log on the worker what the trigger has seen: logs of a triggerer vanish where logs are kept remotely.

    :param event: what the trigger fired, of this version or another; one without a story says nothing.
    """
    from planasonix.runs import retold

    text = retold(event.get("story")) if isinstance(event, dict) else None
    if text:
        log.info(text)
