"""The errors of runs and of the events that tell of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from planasonix.errors.attempts import Attempt
from planasonix.errors.base import PlanasonixError
from planasonix.errors.redaction import redact_data


class PendingRun(TypedDict):
    """A run that had not ended when a wait gave up."""

    kind: str
    id: str
    status: str | None


class RunEndedError(PlanasonixError):
    """A run ended, but not well: base of `RunFailedError` and `RunCancelledError`.

    `kind` is what ran ("job", "backfill", ...), `run_id` its id, `status` the server's word for how it ended,
    `outcome_data` what is known of the end, as plain data.
    """

    outcome = "applied"

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        run_id: str,
        status: str | None = None,
        outcome_data: Mapping[str, Any] | None = None,
        retryable: bool | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, attempts=attempts)
        self.kind = kind
        self.run_id = run_id
        self.status = status
        self.outcome_data: dict[str, Any] = redact_data(outcome_data or {})
        self.retryable = type(self).retryable if retryable is None else retryable


class RunFailedError(RunEndedError):
    """The run failed. A new one may do better, hence `retryable`, unless the one who raises knows more."""

    retryable = True


class RunCancelledError(RunEndedError):
    """Somebody cancelled the run; starting it again would overrule them, so it is not retryable."""


class WaitTimeoutError(PlanasonixError):
    """The deadline came first. `pending` lists the runs that had not ended, with the last status seen."""

    retryable = True
    outcome = "applied"

    def __init__(
        self,
        message: str,
        *,
        pending: Sequence[PendingRun] = (),
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, attempts=attempts)
        self.pending: list[PendingRun] = [
            {"kind": run["kind"], "id": run["id"], "status": run["status"]} for run in pending
        ]


class OutcomeUnknownError(PlanasonixError):
    """Did a start take effect? Nobody can say. Sending it again under `idempotency_key` is safe."""

    outcome = "unknown"

    def __init__(
        self,
        message: str,
        *,
        idempotency_key: str | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, attempts=attempts)
        self.idempotency_key = idempotency_key


class NotPublishedError(PlanasonixError):
    """A route that no document publishes answered 404; `setting` names where to give another."""

    outcome = "refused"

    def __init__(
        self,
        message: str,
        *,
        setting: str,
        operation: str | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, hint=hint, request_id=request_id, attempts=attempts)
        self.setting = setting
        self.operation = operation


class SignatureError(PlanasonixError):
    """A webhook delivery whose signature is missing, malformed, wrong or out of its time window."""


class FeedbackLoopError(PlanasonixError):
    """A webhook would start a run that was itself started through webhooks, deeper than allowed."""

    outcome = "not_sent"
