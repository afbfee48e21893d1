"""What Airflow says of a task instance right now: the question before every cancel (G3).

A user's kill and an eviction reach a task in the same way, and a triggerer cannot tell a deleted trigger from a
reassigned one (3.3). Only the task instance's state tells them apart.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

ALIVE = frozenset({"running", "deferred", "queued", "scheduled", "up_for_reschedule", "awaiting_input"})
"""States in which the task still wants its job: nobody gave it up."""


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
        return {"dag_id": self.dag_id, "run_id": self.run_id, "task_id": self.task_id, "map_index": self.map_index}


def current_state(key: TaskKey) -> str | None:
    """The task instance's state, or None when it has none (cleared) or was removed.

    Raises whatever the question raises: who cannot ask must not cancel.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    mapped = key.map_index >= 0
    states = RuntimeTaskInstance.get_task_states(
        dag_id=key.dag_id,
        task_ids=[key.task_id],
        run_ids=[key.run_id],
        map_index=key.map_index if mapped else None,
    )
    # A mapped task instance is keyed by its task id and index.
    name = f"{key.task_id}_{key.map_index}" if mapped else key.task_id
    of_run: dict[str, Any] = states.get(key.run_id) or {}
    state = of_run.get(name)
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
