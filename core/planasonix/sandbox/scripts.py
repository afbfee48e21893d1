"""What will become of the next job of a connection, or run of a pipeline: scripted outcomes and their sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

# Outcomes that say more than a status word.
STUCK = "stuck"
EVERYTHING = "*"
DEFAULT_ERROR = {"code": "source_unavailable", "message": "The source closed the connection.", "details": []}
_KINDS = (None, "sync", "backfill", "run")


@dataclass(frozen=True)
class Script:
    """The plan of one job, of each shard of a backfill, or of one pipeline run. Times are virtual seconds.

    `outcome` is "succeeded", "failed", "cancelled", "stuck" (runs until cancelled) or any other word,
    which the job then shows as its last status, with an end time unless `ended` is False. `tables` maps
    table names to rows (None: the connection's own tables, seeded rows). `lost_tables` load nothing and
    are absent from the results. `loaded_tables` are those that a failed job had loaded before it failed
    (None: the first half). `error=None` makes a failed job without an error object. `shard` is the index
    of the backfill job that `outcome` strikes; the others succeed. `failed_node` is the id of the node in
    which a failed pipeline run fails (None: the last); tables and warnings mean nothing to a run.
    """

    outcome: str = "succeeded"
    ended: bool = True
    duration_seconds: float = 3.0
    queue_seconds: float = 0.5
    tables: Mapping[str, int] | None = None
    lost_tables: Sequence[str] = ()
    loaded_tables: Sequence[str] | None = None
    warnings: Sequence[Mapping[str, str]] = ()
    error: Any = field(default_factory=lambda: dict(DEFAULT_ERROR))
    cancel_seconds: float | None = None
    cancel_outcome: str | None = None
    shard: int = 0
    failed_node: str | None = None


_NAMES = frozenset(each.name for each in fields(Script))


class Scripts:
    """Per connection or pipeline: the steps of a script, used up job by job; the last step stays."""

    def __init__(self, habits: Mapping[str, Mapping[str, Any]]) -> None:
        self._habits = dict(habits)
        self._steps: dict[tuple[str, str | None], list[dict[str, Any]]] = {}

    def set(
        self,
        target_id: str,
        outcome: str | None = None,
        *,
        kind: str | None = None,
        sequence: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """Scripts the coming jobs of a connection or runs of a pipeline ("*": of all without a script of their own).

        `kind` limits it to "sync", "backfill" or "run". `sequence` gives one dict of changes per job, the last
        one repeats; what stands beside it holds for each of them. Raises ValueError for an unknown
        option.
        """
        if kind not in _KINDS:
            raise ValueError(f"kind must be 'sync', 'backfill', 'run' or None, not {kind!r}")
        base = dict(options) if outcome is None else {"outcome": outcome, **options}
        steps = [{**base, **step} for step in sequence] if sequence else [base]
        for step in steps:
            unknown = sorted(set(step) - _NAMES)
            if unknown:
                known = ", ".join(sorted(_NAMES))
                raise ValueError(f"unknown script option {unknown[0]!r}; known are {known}")
        self._steps[target_id, kind] = steps

    def clear(self) -> None:
        self._steps.clear()

    def next(self, target_id: str, kind: str) -> Script:
        """The plan for the job that starts now."""
        step: dict[str, Any] = {}
        for key in (
            (target_id, kind),
            (target_id, None),
            (EVERYTHING, kind),
            (EVERYTHING, None),
        ):
            if steps := self._steps.get(key):
                step = steps.pop(0) if len(steps) > 1 else steps[0]
                break
        return Script(**{**self._habits.get(target_id, {}), **step})
