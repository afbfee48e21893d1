"""The table of all cells: for the terminal with what was seen, for the docs with the reasons."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.scenarios.driver import Driver
from tests.scenarios.matrix import CELLS, SCENARIOS
from tests.scenarios.play import Seen
from tests.scenarios.scenario import Expected, NotApplicable, cells_of

SEEN = pytest.StashKey[dict[str, Seen | str]]()
"""By scenario id: what was seen, or why nothing was."""


def printed(seen: Mapping[str, Seen | str]) -> str:
    """One line for each cell that was played: cell, expected, seen, seconds."""
    rows = [("cell", "expected", "seen", "s")]
    for scenario in SCENARIOS:
        found = seen.get(scenario.id)
        if isinstance(found, Seen):
            rows.append((scenario.id, _of_expected(scenario.expected), _of_seen(found), f"{found.seconds:.0f}"))
        elif found is not None:
            rows.append((scenario.id, _of_expected(scenario.expected), found, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)


def markdown(driver: type[Driver]) -> str:
    """The matrix as the docs show it, in the words of one orchestrator."""
    words = driver.words
    lines = [
        "| Cell | Mode | Promise | Starts | Cancels | Jobs end | Task ends | Tries | Cancelled by | Why |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells_of(CELLS, driver.not_applicable, driver.landing, driver.differs):
        name = words.get(cell.name, cell.name)
        if isinstance(cell, NotApplicable):
            lines.append(
                f"| {name} | {cell.mode} | {', '.join(cell.promises)} | not applicable | | | | | | | {cell.reason} |"
            )
            continue
        expected = cell.expected
        by = " or ".join(words.get(who, who) for who in expected.by)
        jobs = ", ".join(expected.jobs) or "none"
        promises = ", ".join(cell.promises) + (" *" if cell.promise else "")
        lines.append(
            f"| {name} | {cell.mode} | {promises} | {expected.starts} | {expected.cancels} | {jobs} | {expected.task} "
            f"| {expected.tries} | {by} | {words.get(cell.reason, cell.reason)} |"
        )
    return "\n".join(lines)


def _of_expected(expected: Expected) -> str:
    return _line(expected.starts, expected.cancels, expected.jobs, expected.task, expected.tries, expected.by)


def _of_seen(seen: Seen) -> str:
    line = _line(seen.starts, seen.cancels, seen.jobs, seen.task, seen.tries, tuple(sorted(seen.by)))
    return line + (" !" if seen.wrong else "")


def _line(starts: int, cancels: int, jobs: tuple[str, ...], task: str, tries: int, by: tuple[str, ...]) -> str:
    return f"{starts}+{cancels} {','.join(jobs) or '-'} -> {task}/{tries} by {'|'.join(by)}"
