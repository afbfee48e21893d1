"""The end of a step from outside: who asked for it, and what becomes of its job.

Dagster tells a step by a signal, and the same one for a user's Terminate, for an eviction of its pod and for the end of
`dg dev`. Which it was, the status of the run tells.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import dagster as dg

from dagster_planasonix._compat import dies_with_process, was_asked_to_end

INTERRUPTS = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)
"""What a signal becomes in a step. Neither is an `Exception`."""

Verdict = Literal["going", "given up", "ended"]

CANCEL_SECONDS = 10.0
"""What finding a lost start may take, and a cancel: Kubernetes kills a pod thirty seconds after its signal."""

_ONE_ACT_SECONDS = 2.0
"""Ctrl-C in a terminal reaches a step twice: itself, and through the executor, which forwards its own."""


def verdict_on(context: Any) -> tuple[Verdict, str]:
    """(what becomes of the job of a step that was interrupted, the reason in words).

    As `state_of_run` says, but in an instance that ends with the process (`dies_with_process`) the job is given up: no
    run could ever find it again.
    """
    try:
        if dies_with_process(context.instance):
            return "given up", "the process that holds the run was interrupted, and its instance ends with it"
    except Exception as error:
        return "going", f"the run's status could not be read ({type(error).__name__})"
    return state_of_run(context)


def state_of_run(context: Any) -> tuple[Verdict, str]:
    """(what Dagster thinks of the step's run now, the reason in words).

    ==================================================  ===========  ==================================================
    the run                                             verdict      because
    ==================================================  ===========  ==================================================
    CANCELING, CANCELED                                 given up     a user pressed Terminate, or its maximum runtime
                                                                     is over
    FAILURE, after somebody had asked for its end       given up     the maximum runtime: Dagster marks the run as
                                                                     failed once its worker has been told
    FAILURE, SUCCESS else                               ended        run monitoring lost sight of its worker: a retry
                                                                     of the run goes on with the job
    any other                                           going        eviction, redeploy, restart: whoever takes over
                                                                     goes on with the job
    it cannot be read                                   going        in doubt a job is left running
    ==================================================  ===========  ==================================================
    """
    try:
        instance = context.instance
        run_id = context.run.run_id
        run = instance.get_run_by_id(run_id)
        status = None if run is None else run.status
        if status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED):
            return "given up", "the run was terminated"
        if status is dg.DagsterRunStatus.FAILURE and was_asked_to_end(instance, run_id):
            return "given up", "the run was terminated"
        if status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS):
            return "ended", f"the run has ended ({status.value})"
        return "going", f"the run is {status.value if status else 'unknown'}, and nobody asked for its end"
    except Exception as error:
        return "going", f"the run's status could not be read ({type(error).__name__})"


def refuse_to_start(context: Any) -> None:
    """Raise `Failure`, without a retry, where Dagster gave the step's run up: nothing may start any more.

    With a `RetryPolicy`, the in-process executor begins a terminated step again while its run is CANCELING.
    """
    verdict, why = state_of_run(context)
    if verdict != "going":
        raise dg.Failure(f"Nothing is started in Planasonix: {why}.", allow_retries=False)


class Interrupts:
    """The signals of a step: raised at once, but while a start request is under way.

    Breaking that off would lose the id of the job that it makes. So the first signal is noted then, and raised by
    `release`; a second one, two seconds later or more, breaks everything off.
    """

    def __init__(self) -> None:
        self._held = False
        self._noted = False
        self._came_at: float | None = None
        self.settles = False
        """Whether an interrupt has come, and what becomes of the jobs is being settled."""

    def hold(self) -> None:
        """From here on the first signal is only noted. Raises one that was noted before."""
        self._raise_noted()
        self._held = True

    def release(self) -> None:
        """Raises what came meanwhile."""
        self._held = False
        self._raise_noted()

    @contextmanager
    def settling(self, settle: Callable[[], None], log: Callable[[str, str], None]) -> Iterator[None]:
        """Receive the signals as long as this lasts; once one has come, call `settle`, and pass it on whatever comes of
        that. A second one breaks `settle` off.
        """
        with self._received():
            try:
                try:
                    yield
                finally:
                    self.release()
            except INTERRUPTS:
                self.settles = True
                try:
                    settle()
                except Exception as error:
                    log("warning", f"what becomes of the step's jobs could not be settled: {error!r}")
                raise

    @contextmanager
    def _received(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            # Dagster tells only the main thread.
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for number in before:
                signal.signal(number, self._handle)
            yield
        finally:
            for number, handler in before.items():
                # None stands for a handler that was not set from Python, and cannot be put back.
                if handler is not None:
                    signal.signal(number, handler)

    def _handle(self, *_: object) -> None:
        now, came_at = time.monotonic(), self._came_at
        if came_at is not None and now - came_at < _ONE_ACT_SECONDS:
            return
        self._came_at = now
        if came_at is None and self.settles:
            # The run's status was read before the signal came: this one tells nothing new.
            return
        if came_at is None and self._held:
            self._noted = True
            return
        self._noted = False
        raise dg.DagsterExecutionInterruptedError()

    def _raise_noted(self) -> None:
        if self._noted:
            self._noted = False
            raise dg.DagsterExecutionInterruptedError()
