"""Faults on demand: which call goes wrong, how, and on which side of its effect."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

from .near import near_or_all

# kind -> where it strikes when the caller does not say
KINDS = {
    "error": "before",  # an HTTP status, 503 unless given
    "rate_limit": "before",  # 429 with Retry-After
    "reset": "before",  # the connection is reset, nothing happened
    "refused": "before",  # as `reset`; the in-process door raises ConnectionRefusedError
    "drop": "after",  # the call took effect, the connection closes without an answer
    "cut": "after",  # the call took effect, the body stops half-way
    "timeout": "after",  # no answer comes; whether the call took effect depends on `where`
    "latency": "before",  # the answer comes late
}
_ALIASES = {"status": "error", "5xx": "error", "429": "rate_limit", "slow": "latency", "cut_body": "cut"}
_PLACES = ("before", "after")


@dataclass
class Fault:
    """One rule. The first rule that matches, has strikes left and wins its draw strikes.

    `retry_after` is a number of seconds, written as the switch `retry_after_format` says or, if given here, as a
    "date" or as "seconds"; or a text, sent as it is. Calls about the objects of `spared_ids` go well.
    """

    operation: str
    kind: str
    where: str
    times: int | None = 1
    skip_first: int = 0
    probability: float = 1.0
    connection_id: str | None = None
    spared_ids: Collection[str] = ()
    status: int | None = None
    retry_after: float | str | None = None
    retry_after_format: str | None = None
    seconds: float = 0.0
    body: str | None = None
    id: int = 0
    seen: int = 0
    struck: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def label(self) -> str:
        detail = f" {self.status}" if self.kind == "error" else ""
        return f"{self.kind}{detail} {self.where}"


@dataclass
class Faults:
    """The rules in force, oldest first. `operations` are the names that a rule can strike."""

    rng: random.Random
    operations: frozenset[str]
    rules: list[Fault] = field(default_factory=list)
    _ids: count[int] = field(default_factory=lambda: count(1))

    def add(self, operation: str, kind: str = "error", *, where: str | None = None, **options: Any) -> Fault:
        """Adds a rule. `operation` is a name such as "jobs.get" or a pattern such as "jobs.*".

        Raises ValueError for an unknown kind, place or option, and when no operation fits the pattern.
        """
        if not any(fnmatchcase(known, operation) for known in self.operations):
            raise ValueError(f"no operation fits {operation!r}: {near_or_all(operation, self.operations)}")
        kind = _ALIASES.get(kind, kind)
        if kind.isdigit():
            kind, options["status"] = "error", int(kind)
        # `where` may also name the damage itself: fault("jobs.get", "drop", where="cut").
        if where in ("cut", "timeout", "refused"):
            kind, where = where, None
        if kind not in KINDS:
            raise ValueError(f"fault kind must be one of {', '.join(KINDS)}, not {kind!r}")
        where = where or KINDS[kind]
        if kind == "reset" and where == "after":
            kind = "drop"
        if kind == "drop" and where == "before":
            kind = "reset"
        if where not in _PLACES:
            raise ValueError(f"where must be 'before' or 'after' the effect, not {where!r}")
        if options.get("retry_after_format") not in (None, "seconds", "date"):
            raise ValueError(f"retry_after_format must be seconds or date, not {options['retry_after_format']!r}")
        if kind == "error":
            options.setdefault("status", 502 if where == "after" else 503)
            options["status"] = options["status"] or 503
        try:
            rule = Fault(operation, kind, where, id=next(self._ids), **options)
        except TypeError as exc:
            raise ValueError(str(exc).replace("Fault.__init__() ", "")) from None
        self.rules.append(rule)
        return rule

    def strike(self, operation: str, connection_id: str | None, ids: Collection[str] = ()) -> Fault | None:
        """The rule that hits this call, if any; counts it. `ids` are those that stand in its path."""
        for rule in self.rules:
            if rule.times is not None and rule.struck >= rule.times:
                continue
            if not fnmatchcase(operation, rule.operation):
                continue
            if rule.connection_id is not None and rule.connection_id != connection_id:
                continue
            if any(each in rule.spared_ids for each in ids):
                continue
            rule.seen += 1
            if rule.seen <= rule.skip_first:
                continue
            if rule.probability < 1.0 and self.rng.random() >= rule.probability:
                continue
            rule.struck += 1
            return rule
        return None

    def clear(self, connection_id: str | None = None) -> None:
        """Forget all rules, or those of one connection."""
        self.rules = [rule for rule in self.rules if connection_id is not None and rule.connection_id != connection_id]
