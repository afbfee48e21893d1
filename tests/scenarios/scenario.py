"""What a scenario is: one promise, put to the test in one way, told without a word of any orchestrator.

The data say what a user wishes, what the API does, what befalls the task while it waits, and what must come of it. An
orchestrator's driver (`driver.py`) knows how each of these words is done there. The judge is the sandbox's journal,
together with the task's state as the orchestrator tells it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Mode = Literal["blocking", "deferred"]
"""`blocking`: a worker waits. `deferred`: nobody's worker is held while the job runs; a *waiter* looks at it."""

MODES: tuple[Mode, ...] = ("blocking", "deferred")

Exit = Literal[
    "none",
    "user kill",  # the user stops the whole run, with the strongest means that the tool has
    "evict worker",  # SIGTERM to the process that works, SIGKILL once its grace is over, as a drained node does it
    "kill worker",  # SIGKILL to it, as the out-of-memory killer does
    "lose machine",  # SIGKILL to it and to whatever watches over it
    "again while running",  # the user asks for the task once more while its worker works
    "again while deferred",  # the same while nobody's worker is held
    "again after success",
    "mark failed",  # the user calls the task failed
    "mark success",  # the user calls it done
    "tool's timeout",  # the orchestrator's own time limit for a task
    "our timeout",  # the deadline of the job, `timeout_seconds`
    "waiter crash",  # the waiter's code breaks
    "waiters killed",  # the process of the waiters dies
    "waiters restarted",  # it is told to stop, and started anew
    "waiters down",  # the user gives the task up while that process is away
    "two waiters",  # it freezes, another one takes over, it comes back
    "job cancelled",  # somebody cancels the job at Planasonix
]

Moment = Literal["waiting", "starting", "posted", "ended", "busy"]
"""When the exit happens: while the task waits; while its start request is under way; after that request had its effect,
before the answer; after the task has ended; while it finds its connection busy with somebody else's job, which is
ended then.
"""

TaskEnd = Literal["succeeded", "failed", "skipped"]

Cleaner = Literal["nobody", "worker", "waiter", "next try", "reconcile"]
"""Who cancels what was given up. `nobody`: nothing is to be cancelled."""


@dataclass(frozen=True)
class Wish:
    """What the user asks for. Times in seconds; `tool_timeout_seconds` is the tool's own limit."""

    kind: Literal["sync", "backfill"] = "sync"
    retries: int = 1
    timeout_seconds: float | None = None
    tool_timeout_seconds: float | None = None
    cancel_on_kill: bool = True
    # Of how many siblings, each with a connection of its own, the task is one. The exit befalls the second.
    siblings: int = 1


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the API, for the calls of this scenario's connection; words of the sandbox's fault rules."""

    operation: str
    kind: str
    times: int = 1
    options: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Expected:
    """What must be seen in the end.

    starts: jobs of the task that came to be (of a backfill: backfills). cancels: how many of these the API was asked to
    cancel, with effect. jobs: last states of all jobs of the connection in the order of their start, of siblings in the
    order of the siblings; of a backfill's shards the states that there are, without order. task: how the task ends.
    tries: how many it took. by: who cancelled; more than one word where two may be first and either is right. says:
    what the task's log must tell.
    """

    starts: int
    cancels: int
    jobs: tuple[str, ...]
    task: TaskEnd
    by: tuple[Cleaner, ...] = ("nobody",)
    tries: int = 1
    says: tuple[str, ...] = ()
    # Reads of the job keep at least this distance from a refusal that asked for it.
    pause_seconds: float | None = None


@dataclass(frozen=True)
class Scenario:
    """One cell. `reason` says in one sentence why just this must come of it.

    script: of the jobs to come, in order (the sandbox's words); the last one stays. finish: what the last job is ended
    with once the exit is over and the task was seen to wait again; None where the job ends by itself or is given up.
    """

    name: str
    promises: tuple[str, ...]
    mode: Mode
    exit: Exit
    reason: str
    expected: Expected
    wish: Wish = Wish()
    moment: Moment = "waiting"
    script: tuple[dict[str, Any], ...] = ({"outcome": "stuck"},)
    faults: tuple[Fault, ...] = ()
    finish: str | None = None
    # One cell of each promise is run at every landing.
    promise: bool = False

    @property
    def id(self) -> str:
        return f"{self.name}-{self.mode}".replace(" ", "-").replace("'", "").replace(",", "")

    @property
    def alone(self) -> bool:
        """Whether the exit strikes every waiting task, so that no other scenario may run beside it."""
        return self.exit in ALONE


@dataclass(frozen=True)
class Differs:
    """In what way a tool may come to the same: starts, cancels, ends of jobs and task are the same everywhere."""

    by: tuple[Cleaner, ...] | None = None
    tries: int | None = None


@dataclass(frozen=True)
class NotApplicable:
    """A cell that cannot be, and why."""

    name: str
    mode: Mode
    reason: str
    promises: tuple[str, ...] = ()


ALONE: frozenset[Exit] = frozenset(
    {"waiter crash", "waiters killed", "waiters restarted", "waiters down", "two waiters"}
)

Cell = Scenario | NotApplicable


def cells_of(
    cells: Iterable[Cell],
    not_applicable: Mapping[tuple[str, Mode], str],
    landing: frozenset[tuple[str, Mode]] | None,
    differs: Mapping[tuple[str, Mode], Differs] | None = None,
) -> tuple[Cell, ...]:
    """The cells as one orchestrator has them: those that cannot be there with its reason, its own ones marked.

    differs: cells of which the same comes there in another way. Raises ValueError for a name that no cell has.
    """
    cells = tuple(cells)
    differs = differs or {}
    unknown = ({*not_applicable, *differs} | {*(landing or ())}) - {(cell.name, cell.mode) for cell in cells}
    if unknown:
        raise ValueError(f"no such cells: {sorted(unknown)}")
    found: list[Cell] = []
    for cell in cells:
        key = (cell.name, cell.mode)
        if isinstance(cell, Scenario) and key in not_applicable:
            cell = NotApplicable(cell.name, cell.mode, not_applicable[key], cell.promises)
        elif isinstance(cell, Scenario) and landing is not None:
            cell = replace(cell, promise=key in landing)
        if isinstance(cell, Scenario) and key in differs:
            found_by, tries = differs[key].by, differs[key].tries
            by = cell.expected.by if found_by is None else found_by
            cell = replace(cell, expected=replace(cell.expected, by=by, tries=tries or cell.expected.tries))
        found.append(cell)
    return tuple(found)
