"""The base of the error classes, and the one for wrong arguments."""

from collections.abc import Iterable
from typing import Any, Literal, Self

from planasonix.errors.attempts import Attempt
from planasonix.errors.redaction import redact

# What the call did on the server: nothing was sent; it was refused; it took effect; nobody can say.
CallOutcome = Literal["not_sent", "refused", "applied", "unknown"]


def _revive(cls: type["PlanasonixError"], args: tuple[Any, ...], state: dict[str, Any]) -> "PlanasonixError":
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class PlanasonixError(Exception):
    """Base of every error here.

    Parameters: `message`, what happened, in one line; `hint`, what to do about it; `request_id`, the server's
    id of the request, for its support; `attempts`, what happened on each try, oldest first.

    `retryable` says whether the same call may end well later; whether repeating it is *safe* depends on the
    operation and on its idempotency key. `outcome` says what the call did on the server, None where no call
    was made. `run_goes_on` is set where a wait gave up, or could not begin, and left the caller's run as it was:
    without another try nobody waits for that run.
    """

    retryable: bool = False
    run_goes_on: bool = False
    outcome: CallOutcome | None = None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        self.message = redact(message)
        self.hint = None if hint is None else redact(hint)
        self.request_id = None if request_id is None else redact(request_id)
        self.attempts = tuple(attempts)
        super().__init__(self.message)

    def headline(self) -> str:
        """The first line of the text, without the request id."""
        return self.message

    def __str__(self) -> str:
        text = self.headline()
        if self.request_id:
            text += f" [request {self.request_id}]"
        return f"{text}\n{self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with the message alone, which fails for required keyword arguments.
        return _revive, (type(self), self.args, self.__dict__.copy())

    def with_attempts(self, attempts: Iterable[Attempt], *, request_id: str | None = None) -> Self:
        """Records the tries, and the request id if none is known yet; returns the error, to raise it."""
        self.attempts = tuple(attempts)
        if self.request_id is None and request_id is not None:
            self.request_id = redact(request_id)
        return self


class ConfigurationError(PlanasonixError):
    """An argument or a setting is missing or wrong: `field` names it, `hint` says the fix."""

    outcome = "not_sent"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field
