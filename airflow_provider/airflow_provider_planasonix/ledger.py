"""The ledger in Airflow's own store: one entry of `task_state_store` for each task instance.

It survives retries and, on 3.3, Clear. XCom does not: Airflow wipes it at the start of every attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_planasonix.intent import TryMark, intent_of
from planasonix.runs import Record

KEY = "planasonix"
VERSION = 1


class TaskStateLedger:
    """The slot of one task instance; `intent` is the token of this try's wish.

    :param context: the task's context, in a worker.
    :param refuse_to_start: called before each POST; raises when the task was ended meanwhile.
    """

    def __init__(self, context: Any, refuse_to_start: Callable[[], None] = lambda: None) -> None:
        self.refuse_to_start = refuse_to_start
        self._store = store = context["task_state_store"]
        stored = store.get(KEY)
        self._stored: dict[str, Any] | None = stored if isinstance(stored, dict) else None
        mark = TryMark.of(context["ti"], context["task"], context["dag_run"])
        self.intent = intent_of(self._stored, mark)
        before = self._stored or {}
        same_wish = before.get("intent") == self.intent
        same_try = same_wish and (before.get("mark") or {}).get("try_number") == mark.try_number
        self._entry: dict[str, Any] = {
            "version": VERSION,
            "intent": self.intent,
            "mark": mark.to_dict(),
            # When this try first found the connection busy: bounds the wait over all resumptions.
            "busy_since": before.get("busy_since") if same_try else None,
            # When this try began: a deferred task is resumed in the same one.
            "began_at": (before.get("began_at") if same_try else None) or time.time(),
            "record": before.get("record"),
        }

    @property
    def has_history(self) -> bool:
        """Whether an earlier try, or phase of this one, left an entry."""
        return self._stored is not None

    @property
    def began_at(self) -> float:
        """When this try began, its waits included; seconds since the epoch."""
        return float(self._entry["began_at"])

    def busy_since(self) -> float:
        """When this try first found the connection busy: now, if it is the first time; seconds since the epoch."""
        if self._entry["busy_since"] is None:
            self._entry["busy_since"] = time.time()
            self.note_this_try()
        return float(self._entry["busy_since"])

    def read(self) -> Record | None:
        record = self._entry["record"]
        return None if record is None else Record.from_dict(record)

    def write(self, record: Record) -> None:
        """Raises what `refuse_to_start` says where a start comes next: nothing was sent yet then."""
        if record.run_id is None and record.sent_at is not None:
            self.refuse_to_start()
        if record.run_id is not None:
            self._entry["busy_since"] = None
        self._entry["record"] = record.to_dict()
        self.note_this_try()

    def forget(self) -> None:
        """Its run has been put an end to, and what comes next is kept elsewhere."""
        self._entry["record"] = None
        self.note_this_try()

    def note_this_try(self) -> None:
        """Make this try's numbers the ones that the next try is compared with."""
        self._store.set(KEY, self._entry)

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        """None: a task cannot read the store of another task instance."""
        return frozenset()
