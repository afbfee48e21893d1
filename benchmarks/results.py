"""`results.json`: what was measured, when and where; and the table of README.md that is made of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
README = HERE / "README.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
HEAD = "| figure | measured | gate | goal | met |\n|---|---|---|---|---|"


def machine() -> str:
    """Processor, cores and Python, for whoever compares."""
    return f"{os.cpu_count()} cores of {_processor()}, Python {platform.python_version()}"


def line(figure: Figure) -> str:
    """One row of the table."""
    return f"| {figure.name} | {figure.measured} | {figure.gate} | {figure.goal} | {figure.met} |"


def load() -> float:
    """How many processes wanted to run over the last minute: beyond the cores, times say little."""
    return round(os.getloadavg()[0], 1)


def keep(group: str, figures: Iterable[Figure], load_before: float) -> None:
    """Write a group's figures down; those of the other groups stay as they are."""
    groups = _read()
    groups[group] = {
        "measured_on": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "load_before": load_before,
        "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
    }
    RESULTS.write_text(json.dumps(groups, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_readme(order: Iterable[str]) -> None:
    """Put the table of what `results.json` holds between README's marks."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise RuntimeError(f"README.md has no {BEGIN} followed by {END}")
    README.write_text("\n".join([before + BEGIN, *_table(order), END + after]), encoding="utf-8")


def _table(order: Iterable[str]) -> Iterator[str]:
    groups = _read()
    for group in order:
        if group not in groups:
            yield f"\n### {group}\n\nNot measured yet."
            continue
        kept = groups[group]
        where = f"{kept['machine']}; load average before it {kept['load_before']}"
        yield f"\n### {group}\n\nMeasured on {kept['measured_on']}: {where}.\n\n{HEAD}"
        for row in kept["figures"]:
            yield line(Figure(row["name"], row["measured"], row["gate"], row["goal"]))
    yield ""


def _read() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [text.partition(":")[2].strip() for text in _lines(info) if text.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
