"""What the tests of all pages ask: which code stands in them, and whether what they point at is there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.scenarios.matrix import CELLS

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: Path, kind: str = "python") -> list[str]:
    """The fenced blocks with just this after their fence."""
    fences = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [code for info, code in fences if info == kind]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Links to files or headings that are not there."""
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    return broken


def missing_tests(page: Path) -> list[str]:
    """Tests that the page names, as `tests/a.py::test_b`, and that are not there."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
    return [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]


def missing_scenarios(page: Path) -> set[str]:
    """Scenarios that the page names, as [scenario](scenarios.md) “name”, and that are not there."""
    return set(re.findall(r"scenarios\.md\) “([^”]+)”", page.read_text())) - {cell.name for cell in CELLS}
