"""Every error that this package raises.

    PlanasonixError                 message, hint, request_id, attempts, retryable, outcome
    |-- ConfigurationError          an argument or a setting of ours is missing or wrong (field)
    |-- TransportError              no answer: not sent, or lost on the way
    |-- APIError                    the server said no (status_code, code, details, ...)
    |   |-- InvalidRequestError     400, 422
    |   |-- AuthenticationError     401
    |   |-- PermissionDeniedError   403
    |   |-- NotFoundError           404
    |   |-- ConflictError           409
    |   |-- RateLimitError          429 (retry_after_seconds)
    |   `-- ServerError             5xx
    |-- InvalidResponseError        a 2xx that cannot be read (field)
    |-- PagingError                 a list that never ends
    |-- RunEndedError               a run ended, but not well (kind, run_id, status, outcome_data)
    |   |-- RunFailedError
    |   `-- RunCancelledError
    |-- WaitTimeoutError            the deadline came before the end (pending)
    |-- OutcomeUnknownError         nobody can say whether a start took effect (idempotency_key)
    |-- NotPublishedError           an assumed route that this tenant does not have (setting)
    |-- SignatureError              a webhook delivery that is not proven to be genuine
    `-- FeedbackLoopError           an event chain that starts itself again

All of them pickle: orchestrators carry exceptions across processes. None holds a request body, a header or a
key, and whatever text a server sends passes `redact` before it gets in.
"""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names
from planasonix.errors.attempts import Attempt
from planasonix.errors.base import CallOutcome, ConfigurationError, PlanasonixError
from planasonix.errors.calls import (
    APIError,
    AuthenticationError,
    ConflictError,
    ErrorDetail,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PagingError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TransportError,
)
from planasonix.errors.redaction import redact, redact_data
from planasonix.errors.reply import error_from_reply, http_date, request_id_of, retry_after_seconds_of
from planasonix.errors.runs import (
    FeedbackLoopError,
    NotPublishedError,
    OutcomeUnknownError,
    PendingRun,
    RunCancelledError,
    RunEndedError,
    RunFailedError,
    SignatureError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from planasonix.errors.retrying import RetryAdvice, retry_advice

__all__ = [
    "APIError",
    "Attempt",
    "AuthenticationError",
    "CallOutcome",
    "ConfigurationError",
    "ConflictError",
    "ErrorDetail",
    "FeedbackLoopError",
    "InvalidRequestError",
    "InvalidResponseError",
    "NotFoundError",
    "NotPublishedError",
    "OutcomeUnknownError",
    "PagingError",
    "PendingRun",
    "PermissionDeniedError",
    "PlanasonixError",
    "RateLimitError",
    "RetryAdvice",
    "RunCancelledError",
    "RunEndedError",
    "RunFailedError",
    "ServerError",
    "SignatureError",
    "TransportError",
    "WaitTimeoutError",
    "error_from_reply",
    "http_date",
    "redact",
    "redact_data",
    "request_id_of",
    "retry_advice",
    "retry_after_seconds_of",
]


# Only who judges an error pays for the table.
__getattr__ = lazy_names(__name__, {"retrying": ("RetryAdvice", "retry_advice")})


def _publish() -> None:
    # The public path is what tracebacks show and pickles record, so that moving a class inside this package
    # does not break an exception stored by an older version.
    for member in (globals().get(name) for name in __all__):
        if isinstance(member, type) and issubclass(member, PlanasonixError | Attempt):
            member.__module__ = __name__


_publish()
