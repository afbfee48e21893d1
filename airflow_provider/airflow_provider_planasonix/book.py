"""The book of a staged backfill in Airflow's own store: an entry of `task_state_store` for each stage of the task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_planasonix.ledger import KEY


class TaskStateBook:
    """The named entries of one task instance, each under the key `planasonix/<name>`.

    :param context: the task's context, in a worker.
    """

    def __init__(self, context: Any) -> None:
        self._store = context["task_state_store"]
        # What this process has seen: the stages that may run are read at the begin of each round.
        self._owned: dict[str, str] = {}
        self.unsaved: dict[str, dict[str, Any]] = {}
        """Entries that name a run and could not be written: the store of a task that was cleared is gone."""

    def read(self, name: str) -> dict[str, Any] | None:
        value = self._store.get(f"{KEY}/{name}")
        if not isinstance(value, dict):
            return None
        self._note(name, value)
        return value

    def write(self, name: str, entry: dict[str, Any]) -> None:
        try:
            self._store.set(f"{KEY}/{name}", entry)
        except Exception:
            if entry.get("run_id"):
                self.unsaved[name] = entry
            raise
        self.unsaved.pop(name, None)
        self._note(name, entry)

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> frozenset[str]:
        """Those that other stages of this task own. A task cannot read the store of another task instance."""
        others = {run_id for name, run_id in self._owned.items() if name != besides}
        return frozenset(run_ids) & others

    def _note(self, name: str, entry: dict[str, Any]) -> None:
        if entry.get("run_id") and entry.get("owned"):
            self._owned[name] = str(entry["run_id"])
