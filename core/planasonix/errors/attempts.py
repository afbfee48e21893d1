"""What happened on each try of one call."""

from dataclasses import dataclass

from planasonix.errors.redaction import redact


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one call, as plain data.

    Parameters: `at`, Unix time in seconds at which the try was sent; `status`, the HTTP status, or None
    without an answer; `error`, one line on what went wrong, or None; `request_id`, the server's id of the
    request, if it gave one; `slept_seconds`, the pause taken after this try.
    """

    at: float
    status: int | None = None
    error: str | None = None
    request_id: str | None = None
    slept_seconds: float = 0.0

    def __post_init__(self) -> None:
        # A transport's text may quote a URL or a header.
        if self.error is not None:
            object.__setattr__(self, "error", redact(self.error))
        if self.request_id is not None:
            object.__setattr__(self, "request_id", redact(self.request_id))
