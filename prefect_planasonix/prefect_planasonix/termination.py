"""The end of a call from outside: what becomes of its job.

Prefect ends a call in many ways, and tells none of them apart from the others by itself: what was raised in the
caller, and the state of its flow run, do so together.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Literal

from prefect_planasonix.loop import Interruption
from prefect_planasonix.options import RunOptions

CANCEL_SECONDS = 10.0
"""What finding a lost start may take, and a cancel: Prefect kills a process thirty seconds after its signal."""

SHUTDOWN_MESSAGE = "Runner is shutting down."
"""What Prefect writes on a run that nobody cancelled, when `serve` or a worker is stopped."""


@dataclass(frozen=True)
class SeenState:
    """A state of a flow run, as Prefect's API tells it: `type` in capitals, as in `CANCELLING`.

    `run_count` is how often the run has begun to run, 0 where that is not known.
    """

    type: str
    name: str = ""
    message: str = ""
    run_count: int = 0

    @property
    def by_shutdown(self) -> bool:
        return self.type in ("CANCELLING", "CANCELLED") and self.message.startswith(SHUTDOWN_MESSAGE.rstrip("."))


@dataclass(frozen=True)
class Verdict:
    """What becomes of the job, and why, in words."""

    act: Literal["cancel", "leave"]
    why: str


def is_given_up(state: SeenState) -> bool:
    """Whether Prefect is done with a run in this state, so that nobody waits for its jobs any more.

    Not so where it is to go on: after a pause, at a retry, and after a crash that may be none (a worker that was cut
    off), which the next run with the same id goes on from.
    """
    return state.type in ("CANCELLING", "CANCELLED", "FAILED", "COMPLETED")


def verdict_on(
    why: Interruption, state: SeenState | None, options: RunOptions, *, in_run: bool = True, flow_try: int = 0
) -> Verdict:
    """What becomes of the job of a call that was interrupted.

    `state` is that of the flow run, None where it could not be read. `in_run`: whether there is a run at all whose
    retry could find the job again. `flow_try` is the try of the flow run that the call belongs to, 0 where that is not
    known.

    ============================================  ======================  =================  =========================
    what happened                                 raised in the caller    the flow run       the job
    ============================================  ======================  =================  =========================
    a user cancelled: called directly, sync       TerminationSignal       CANCELLING         is cancelled
    the same, async                               CancelledError          CANCELLING         is cancelled
    the same, submitted: nothing is raised        nothing; it was seen    CANCELLING,        is cancelled
                                                  that                    CANCELLED
    `serve` or the worker is stopped              TerminationSignal,      RUNNING; later     by `on_shutdown`
                                                  CancelledError          CANCELLED, "Runner
                                                                          is shutting down."
    SIGTERM to the flow's process                 the same                RUNNING            by `on_shutdown`
    the same, and the supervisor reschedules      the same                RUNNING            is left: the next process
                                                                                             goes on with it
    Prefect's timeout of task or flow, sync       CancelledError          RUNNING            is cancelled
    the same, async; a sibling in the same        CancelledError in a     RUNNING            is cancelled
    anyio task group failed                       cancelled scope
    a sibling of `asyncio.gather` or `TaskGroup`  CancelledError          RUNNING            by `on_shutdown`: it looks
    failed, `asyncio.timeout`                                                                like a SIGTERM
    the flow ended while a submitted task waits   nothing; it was seen    FAILED, COMPLETED  is cancelled
    Ctrl-C                                        KeyboardInterrupt       any                is cancelled
    our own deadline                              WaitTimeoutError        any                is cancelled, not here
    pause, suspend                                Pause; or seen          PAUSED             is left
    a retry comes                                 anything                SCHEDULED          is left: it goes on with it
    the flow was taken for dead, and is not       anything                CRASHED            is left
    a later try of it runs: this process was      anything but Ctrl-C     RUNNING            is left: that try waits for
    taken for dead, and is not                                                               it
    anything, outside any run                     anything                none               is cancelled: no retry
                                                                                             could find it
    anything but a timeout or Ctrl-C              anything                cannot be read     is left, in doubt
    ============================================  ======================  =================  =========================

    `cancel_on_cancellation=False` leaves it in all of these cases.
    """
    if not options.cancel_on_cancellation:
        return Verdict("leave", "the call was interrupted, and cancel_on_cancellation is false")
    cause = why.cause
    if isinstance(cause, KeyboardInterrupt):
        return Verdict("cancel", "the call was interrupted by hand")
    if not in_run:
        return Verdict("cancel", "the call was interrupted, and no retry could find its job")
    if cause is not None and type(cause).__name__ == "Pause":
        return Verdict("leave", "the flow run is suspended")
    if state is not None:
        if state.by_shutdown:
            return _by_shutdown(options)
        if is_given_up(state):
            return Verdict("cancel", f"the flow run is {state.name or state.type}")
        if state.type in ("PAUSED", "SCHEDULED", "CRASHED"):
            return Verdict("leave", f"the flow run is {state.name or state.type}")
        if 0 < flow_try < state.run_count:
            return Verdict("leave", "a later try of the flow run goes on with it")
    if why.timed_out or isinstance(cause, TimeoutError):
        return Verdict("cancel", "the call ran out of time, or what it was part of failed")
    if state is None:
        return Verdict("leave", "the call was interrupted, and the state of its flow run could not be read")
    if cause is None or isinstance(cause, asyncio.CancelledError) or type(cause).__name__ == "TerminationSignal":
        return _by_shutdown(options)
    return Verdict("leave", f"the call was interrupted ({type(cause).__name__})")


def _by_shutdown(options: RunOptions) -> Verdict:
    if os.environ.get("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "").lower() in ("reschedule", "relinquish"):
        return Verdict("leave", "the flow's process was told to end, and another one is to go on")
    act: Literal["cancel", "leave"] = "leave" if options.on_shutdown == "leave" else "cancel"
    why = "the call was interrupted in a run that goes on: its process was told to end, or something beside it failed"
    return Verdict(act, f"{why}; on_shutdown is {options.on_shutdown!r}")
