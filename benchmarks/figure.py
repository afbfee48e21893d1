"""One row of the table: what was measured, and what the design asks of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# How rows that come as (name, value) say what is asked of them: "calls a wait (gate ≤ 2.5)".
_ASKED = re.compile(r"\s*\((?:gate (?P<gate>[≤≥][^()]*?))?(?:, (?=goal))?(?:goal (?P<goal>[≤≥][^()]*))?\)$")
_NUMBER = re.compile(r"-?[0-9][0-9,]*(?:\.[0-9]+)?")
_BOUND = re.compile(rf"(?P<side>[≤≥]) (?P<at>{_NUMBER.pattern})(?: ?(?:µs|ms|s|KiB))?")


@dataclass(frozen=True, slots=True)
class Figure:
    """`gate` and `goal` look like "≤ 60 µs", in the unit of `measured`; empty where there is none."""

    name: str
    measured: str
    gate: str = ""
    goal: str = ""

    @property
    def met(self) -> str:
        """Which of the two is met; empty where neither is asked, or where a bound is no plain number."""
        verdicts = {name: self._holds(bound) for name, bound in (("gate", self.gate), ("goal", self.goal)) if bound}
        if not verdicts or None in verdicts.values():
            return ""
        if all(verdicts.values()):
            return "yes"
        return "gate only" if verdicts.get("gate") else "no"

    def _holds(self, bound: str) -> bool | None:
        asked, got = _BOUND.fullmatch(bound), _NUMBER.match(self.measured)
        if asked is None or got is None:
            return None
        value, at = _number(got[0]), _number(asked["at"])
        return value <= at if asked["side"] == "≤" else value >= at


def figures_of(rows: Iterable[Figure | tuple[str, str]]) -> Iterator[Figure]:
    """Rows of either form as figures: a pair has its gate and goal in its name."""
    for row in rows:
        if isinstance(row, Figure):
            yield row
            continue
        name, measured = row
        asked = _ASKED.search(name)
        if asked is None or not any(asked.groups()):
            yield Figure(name, measured)
        else:
            yield Figure(name[: asked.start()], measured, asked["gate"] or "", asked["goal"] or "")


def _number(text: str) -> float:
    return float(text.replace(",", ""))
