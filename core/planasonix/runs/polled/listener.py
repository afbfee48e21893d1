"""What a look asks of the one who tells its orchestrator of the runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from planasonix.runs.effects import RunView
from planasonix.watch import Kind


@dataclass(frozen=True)
class Interest:
    """Whether a run is to be told once it has ended.

    `due_at` (seconds since the epoch, by our clock): `overdue` is called then if it still goes on. `sure` False: it
    cannot be told yet whose the run is; it is asked again in each look, and not told before. `even_if_old`: told also
    if it had ended before its connection was first looked at.
    """

    wanted: bool = True
    even_if_old: bool = False
    due_at: float | None = None
    sure: bool = True


class NoRoomError(Exception):
    """Raised by `ended` of a listener that takes no more in this look. The look is over, and the next one begins with
    this run; no try of it is used up.
    """


class Listener(Protocol):
    """Each method may raise: that concerns the one run, is logged, and is tried again in later looks."""

    def sees(self, connection_id: str, kind: Kind, run: RunView) -> Interest:
        """A run is listed for the first time, or again where it was not `sure`. Lists show few fields of it."""
        ...

    def ended(self, connection_id: str, kind: Kind, run: RunView) -> None:
        """The run has ended, as a GET shows it. What returns from here has been told."""
        ...

    def overdue(self, connection_id: str, kind: Kind, run: RunView) -> None:
        """The run goes on past its `due_at`. Called once, unless it raises."""
        ...

    def given_up(self, connection_id: str, kind: Kind, run_id: str, why: Exception, created_at: float) -> None:
        """The run could not be told in several looks, and is not tried any more: one that nobody has seen to end not
        before its `due_at`. `created_at` is in seconds since the epoch, by the API's clock.
        """
        ...
