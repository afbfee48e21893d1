"""What an orchestrator brings to play the scenarios: how each of their words is done there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from tests.scenarios.scenario import Cleaner, Differs, Exit, Mode, Moment, Scenario, TaskEnd


@dataclass(frozen=True)
class Placed:
    """A scenario with the connections that it has to itself while it is played, one for each sibling."""

    scenario: Scenario
    connections: tuple[str, ...]

    @property
    def sibling(self) -> int:
        """Whom the exit befalls."""
        return 1 if self.scenario.wish.siblings > 1 else 0


@dataclass(frozen=True)
class Told:
    """What the orchestrator carries about a job that ended well (G7)."""

    id: str
    rows: int
    # name → (rows, checksum)
    tables: dict[str, tuple[int, str | None]]
    link: str | None


@dataclass
class Run:
    """One start of a scenario's task; `key` is the orchestrator's own name for it."""

    placed: Placed
    key: Any
    notes: dict[str, Any] = field(default_factory=dict[str, Any])


class Driver(Protocol):
    """One orchestrator, running. Waits raise TimeoutError or the like, with what helps to understand."""

    name: ClassVar[str]
    # How the cells' names, who cleans up, and a reason that names a parameter are put there; what is missing is kept.
    words: ClassVar[Mapping[str, str]]
    # The cells that cannot be there, by name and mode, and why.
    not_applicable: ClassVar[Mapping[tuple[str, Mode], str]]
    # The cells that are run at every landing, by name and mode; None: those that the data mark.
    landing: ClassVar[frozenset[tuple[str, Mode]] | None]
    # The cells of which the same comes there in another way.
    differs: ClassVar[Mapping[tuple[str, Mode], Differs]]

    def install(self, placed: Sequence[Placed]) -> None:
        """Make the tasks of all these known, before the first one is started."""
        ...

    def start(self, placed: Placed) -> Run: ...

    def until(self, run: Run, moment: Moment, looked: Callable[[], bool]) -> None:
        """Return at the moment. looked: whether the API was asked for the job since this call began."""
        ...

    def leave(self, run: Run, way: Exit, again: Callable[[], None]) -> None:
        """Let the exit happen, and return once its consequences, wanted or not, had their chance.

        again: returns once the task was seen to wait for its job again.
        """
        ...

    def end(self, run: Run, tries: int) -> TaskEnd:
        """Wait for the end of the task, in that try or a later one, and return it."""
        ...

    def tries(self, run: Run) -> int: ...

    def log(self, run: Run) -> str: ...

    def cleaners(self, run: Run) -> set[Cleaner]:
        """Who cancelled something, as the logs have it."""
        ...

    def provenance(self, run: Run, sibling: int) -> dict[str, Any]:
        """What the job's metadata must say of this task, besides intent and generation."""
        ...

    def told(self, run: Run, sibling: int) -> Told | None:
        """What the orchestrator keeps about the job; None where the task returned nothing."""
        ...

    def shown_link(self, run: Run, sibling: int) -> str | None:
        """The link that the orchestrator shows from the first second."""
        ...

    def abandon(self, run: Run) -> None:
        """Stop the whole run after a failure, so that it does not get in the way of the next scenario."""
        ...

    def reconcile(self, run: Run) -> None:
        """Run reconcile, applied, over this task's run."""
        ...
