"""The ledger in Airflow's own store: one entry of `task_state_store` for each task instance.

It survives retries and, on 3.3, Clear. XCom does not: Airflow wipes it at the start of every attempt.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from airflow_provider_planasonix.intent import TryMark, intent_of
from planasonix.runs import Record

KEY = "planasonix"
VERSION = 1


class TaskStateLedger:
    """The slot of one task instance; `intent` is the token of this try's wish.

    :param context: the task's context, in a worker.
    """

    def __init__(self, context: Any) -> None:
        self._store = store = context["task_state_store"]
        stored = store.get(KEY)
        self._stored: dict[str, Any] | None = stored if isinstance(stored, dict) else None
        mark = TryMark.of(context["ti"], context["task"], context["dag_run"])
        self.intent = intent_of(self._stored, mark)
        same_wish = self._stored is not None and self._stored.get("intent") == self.intent
        self._entry: dict[str, Any] = {
            "version": VERSION,
            "intent": self.intent,
            "mark": mark.to_dict(),
            # The moment of the wish bounds how long a busy connection is waited for, over all of its tries.
            "wished_at": (self._stored or {}).get("wished_at") if same_wish else time.time(),
            "record": (self._stored or {}).get("record"),
        }

    @property
    def wished_at(self) -> float:
        """When this wish was first tried; seconds since the epoch."""
        return float(self._entry["wished_at"] or time.time())

    def read(self) -> Record | None:
        record = self._entry["record"]
        return None if record is None else Record.from_dict(record)

    def write(self, record: Record) -> None:
        self._entry["record"] = record.to_dict()
        self.note_this_try()

    def note_this_try(self) -> None:
        """Make this try's numbers the ones that the next try is compared with."""
        self._store.set(KEY, self._entry)

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        """None: a task cannot read the store of another task instance."""
        return frozenset()
