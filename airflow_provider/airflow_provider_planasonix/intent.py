"""Whether this try of a task is the same wish as the one before it, or a new one (DESIGN §4).

Airflow has no field that says so; these numbers together do. Every Clear that touches any task of the DAG run raises
the run's `clear_number`, and clearing this task also moves its `max_tries` (the tries made, plus its retries). An
automatic retry, of whatever cause, moves neither; editing `retries` between two tries moves `max_tries` at the next
Clear only.

Airflow 3.4 and 3.5 let Clear delete what the store holds: nothing stored means a new wish, which is the first rule.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from planasonix.runs import new_intent


@dataclass(frozen=True)
class TryMark:
    """The numbers of one try; `clear_number` is None where Airflow does not show it."""

    try_number: int
    max_tries: int
    retries: int
    clear_number: int | None

    @classmethod
    def of(cls, ti: Any, task: Any, dag_run: Any) -> TryMark:
        clear_number = getattr(dag_run, "clear_number", None)
        return cls(
            try_number=int(ti.try_number),
            max_tries=int(ti.max_tries),
            retries=int(task.retries or 0),
            clear_number=None if clear_number is None else int(clear_number),
        )

    def to_dict(self) -> dict[str, int | None]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TryMark:
        return cls(**{name: data.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]


def is_same_wish(before: TryMark, now: TryMark) -> bool:
    """The decision, in one place.

    ===============================================================  ==========  ======================================
    the numbers                                                      same wish?  what happened
    ===============================================================  ==========  ======================================
    `clear_number` as before                                         yes         a retry, of whatever cause
    `clear_number` up, `max_tries` moved                             no          this task was cleared
    `clear_number` up, `max_tries` as before                         yes         another task of the run was cleared
    the same, but `retries` was edited so that Clear left it as it   no          this task was cleared
    was (`max_tries` = the tries made + the new `retries`)
    no `clear_number`                                                by `max_tries` alone
    ===============================================================  ==========  ======================================

    One case cannot be told from the third: a running task whose worker is lost, cleared before Airflow noticed. It
    waits for the job that is still running.
    """
    moved = now.max_tries != before.max_tries
    if now.clear_number is None or before.clear_number is None:
        return not moved
    if now.clear_number == before.clear_number:
        return True
    edited_back = now.retries != before.retries and now.max_tries == before.try_number + now.retries
    return not moved and not edited_back


def intent_of(stored: dict[str, Any] | None, now: TryMark) -> str:
    """The intent's token for this try: the stored one for the same wish, else a new one."""
    if stored is None or not isinstance(stored.get("intent"), str):
        return new_intent()
    same = is_same_wish(TryMark.from_dict(stored.get("mark") or {}), now)
    return stored["intent"] if same else new_intent()
