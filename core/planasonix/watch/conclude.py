"""The end of a wait in the words of `jobs.wait` and `backfills.wait`."""

from __future__ import annotations

from typing import Any

from planasonix.errors import RunCancelledError, RunFailedError, WaitTimeoutError, redact
from planasonix.watch.protocols import Kind, WatchedRun


class TimeIsUp(Exception):
    """The deadline passed; `status` is the last one seen."""

    def __init__(self, status: str | None) -> None:
        super().__init__(status)
        self.status = status


def raise_unless_succeeded(kind: Kind, run: WatchedRun) -> None:
    """Raise `RunFailedError` or `RunCancelledError` for a run that ended otherwise than well."""
    if run.phase == "succeeded":
        return
    if run.phase == "cancelled":
        raise RunCancelledError(f"Planasonix {kind} {run.id} was cancelled.", run_id=run.id, kind=kind)
    reason = _reason(getattr(run, "error", None))
    raise RunFailedError(
        f"Planasonix {kind} {run.id} ended with status {str(run.status)!r}{reason}.", run_id=run.id, kind=kind
    )


def timed_out(kind: Kind, run_id: str, status: str | None, timeout_seconds: float | None) -> WaitTimeoutError:
    """The error of a wait whose time is up. The run itself goes on."""
    hint = "The run goes on. Wait again with a longer timeout, or cancel it."
    if status is None:
        hint = "It was not seen at all: check its id, the key's organization, and whether the API can be reached."
    limit = "its deadline" if timeout_seconds is None else f"{timeout_seconds:g} s"
    return WaitTimeoutError(
        f"Planasonix {kind} {run_id} had not ended within {limit} (last status: {status or 'not seen'}).",
        pending=[{"kind": kind, "id": run_id, "status": status}],
        hint=hint,
    )


def _reason(error: Any) -> str:
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    text = ": ".join(str(part) for part in (code, message) if part)
    return f" ({redact(text)})" if text else ""
