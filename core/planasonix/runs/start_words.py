"""What is said of a start, by every caller in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planasonix.errors import WaitTimeoutError
from planasonix.runs.target import target_text

if TYPE_CHECKING:
    from planasonix.runs.handle import RunHandle
    from planasonix.runs.requests import RunRequest
    from planasonix.runs.start import Started


def started_text(started: Started, handle: RunHandle, job_url_template: str | None) -> str:
    """`started Planasonix job job_1 of connection conn_1`, with the link to its page where there is one."""
    link = handle.link(job_url_template)
    text = f"{started.how} Planasonix {handle.kind} {handle.id} of {target_text(handle.kind, handle.target_id)}"
    return text + (f": {link}" if link else "")


def skipped_text(request: RunRequest) -> str:
    """For `if_running="skip"`."""
    return f"the {_target(request)} is busy, and if_running is 'skip': nothing was started"


def busy_text(request: RunRequest, started: Started) -> str:
    """For who waits until it is free."""
    return f"the {_target(request)} is busy with {started.busy_run_id or 'a job'}: waiting"


def busy_too_long(request: RunRequest, seconds: float) -> WaitTimeoutError:
    """The error of who has waited that long; to be raised."""
    return WaitTimeoutError(
        f"The {_target(request)} was busy for {seconds:g} s; nothing was started.",
        pending=[],
        hint="Look at what keeps it busy, raise timeout_seconds, or set if_running.",
    )


def _target(request: RunRequest) -> str:
    return target_text(request.kind, request.target_id)
