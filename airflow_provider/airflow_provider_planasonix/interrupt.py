"""Ctrl-C in `dag.test()`: the user ended the task, and no signal handler of Airflow says so (G2).

There, task and trigger run in the user's own process, one after the other. Airflow 3.3 reports the interrupt of a task
as a failed try, which it may repeat, and that of a trigger not at all; `on_kill` is called for neither. On a worker and
in a triggerer nothing here acts: an interrupt there is whoever stops that process, and not the user (G3).
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from airflow_provider_planasonix._compat import AirflowFailException, runs_in_dag_test

if TYPE_CHECKING:
    from airflow_provider_planasonix.triggers.lines import LogLines
    from planasonix import Planasonix
    from planasonix.runs import RunHandle


class Interruptible(Protocol):
    """An execution of a task: see `attempt`."""

    def on_interrupt(self) -> None:
        """Raise KeyboardInterrupt, or see to it that the next step ends: a start must not lose its answer."""

    def cancel_what_was_started(self, client: Planasonix) -> None: ...


@contextmanager
def ctrl_c_cancels(attempt: Interruptible, client: Planasonix) -> Iterator[None]:
    """In `dag.test()`, let the first Ctrl-C cancel what the task started, and fail it without a retry.

    A second one breaks off whatever is still under way. Elsewhere this does nothing.
    """
    if not runs_in_dag_test() or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def handle(*_: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        attempt.on_interrupt()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    except KeyboardInterrupt:
        attempt.cancel_what_was_started(client)
        raise AirflowFailException("The task was ended by a user (Ctrl-C).") from None
    finally:
        signal.signal(signal.SIGINT, before)


async def cancel_on_ctrl_c(handles: Sequence[RunHandle], planasonix_conn_id: str, lines: LogLines) -> None:
    """A trigger's wait was cancelled: in `dag.test()` that is Ctrl-C, and the runs are cancelled.

    In a triggerer it is a restart, or a kill that `on_kill` hears of: this does nothing.
    """
    owned = [handle for handle in handles if handle.owned]
    if not owned or not runs_in_dag_test():
        return
    from airflow_provider_planasonix.triggers.killing import cancel_each

    lines.warning("Ctrl-C: cancelling what the task waits for")
    try:
        await asyncio.wait_for(cancel_each(owned, planasonix_conn_id, lines, "interrupted"), CANCEL_SECONDS)
    finally:
        await lines.written()


CANCEL_SECONDS = 28.0
"""As long as a triggerer would have; a second Ctrl-C ends it at once."""
