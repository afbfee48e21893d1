"""The book of a staged backfill in Airflow's own store: an entry of `task_state_store` for each stage of the task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_planasonix.ledger import KEY


class TaskStateBook:
    """The named entries of one task instance, each under the key `planasonix/<name>`.

    :param context: the task's context, in a worker.
    :param refuse_to_start: called before each POST; raises when the task was ended meanwhile.
    """

    def __init__(self, context: Any, refuse_to_start: Callable[[], None] = lambda: None) -> None:
        self._store = context["task_state_store"]
        self._refuse_to_start = refuse_to_start
        # What this process has seen: the stages that may run are read at the begin of each round.
        self._owned: dict[str, str] = {}

    def read(self, name: str) -> dict[str, Any] | None:
        value = self._store.get(f"{KEY}/{name}")
        if not isinstance(value, dict):
            return None
        self._note(name, value)
        return value

    def write(self, name: str, entry: dict[str, Any]) -> None:
        """Raises what `refuse_to_start` says where a start comes next: nothing was sent yet then."""
        if entry.get("sent_at") is not None and entry.get("run_id") is None and entry.get("outcome") is None:
            self._refuse_to_start()
        self._store.set(f"{KEY}/{name}", entry)
        self._note(name, entry)

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> frozenset[str]:
        """Those that other stages of this task own. A task cannot read the store of another task instance."""
        others = {run_id for name, run_id in self._owned.items() if name != besides}
        return frozenset(run_ids) & others

    def _note(self, name: str, entry: dict[str, Any]) -> None:
        if entry.get("run_id") and entry.get("owned"):
            self._owned[name] = str(entry["run_id"])
