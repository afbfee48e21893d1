"""What Airflow says of a task instance right now, and whether that means its job is given up (G2, G3).

A user's kill and an eviction reach a task in the same way, and a triggerer cannot tell a deleted trigger from a
reassigned one (3.3). Only the task instance's state tells them apart.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

GIVEN_UP = frozenset({None, "restarting", "failed", "success", "skipped", "removed", "upstream_failed"})
"""States that a user's act leads to (None: cleared). Every other word, a future one included, means: leave it."""


@dataclass(frozen=True)
class TaskKey:
    """Names one task instance; plain data, fit for a trigger's arguments."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: Any) -> TaskKey:
        return cls(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else int(ti.map_index))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_given_up(state: str | None) -> bool:
    """Whether a task in this state wants its job no more."""
    return state in GIVEN_UP


def current_state(key: TaskKey) -> str | None:
    """The task instance's state, None when it was cleared.

    Raises LookupError when the answer does not speak of the task, and whatever the question itself raises: who does
    not know must not cancel.
    """
    index = key.map_index if key.map_index >= 0 else None
    return state_in(states_of(key.dag_id, [key.run_id], [key.task_id], map_index=index), key)


def states_of(
    dag_id: str, run_ids: list[str], task_ids: list[str], *, map_index: int | None = None
) -> dict[str, dict[str, Any]]:
    """The states of these tasks in each of these runs, as Airflow tells them:
    `{"manual__1": {"sync": "deferred", "load_0": None, "load_1": …}}`.

    A mapped instance is called by its task id and index; without `map_index` all of a task are told.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=task_ids, run_ids=run_ids, map_index=map_index)


def state_in(told_of: dict[str, dict[str, Any]], key: TaskKey) -> str | None:
    """The task instance's state in the answer of `states_of`; raises LookupError when that does not speak of it."""
    states = told_of.get(key.run_id) or {}
    name = f"{key.task_id}_{key.map_index}" if key.map_index >= 0 else key.task_id
    if name not in states:
        told = ", ".join(sorted(states)[:5]) or "nothing"
        raise LookupError(f"Airflow told the state of {told}, not of {name}")
    state = states[name]
    return None if state is None else str(getattr(state, "value", state))


def state_within(key: TaskKey, seconds: float) -> tuple[bool, str | None]:
    """(asked, state), from a signal handler: the question runs in a thread of its own.

    The signal may have come while the task itself was talking to its supervisor; that line is not to be waited for.
    """
    found: list[str | None] = []

    def ask() -> None:
        try:
            found.append(current_state(key))
        except Exception:
            return

    thread = threading.Thread(target=ask, name="planasonix-task-state", daemon=True)
    thread.start()
    thread.join(seconds)
    return (True, found[0]) if found else (False, None)
