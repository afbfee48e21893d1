"""Draw waits.svg from waits.json: `python -m benchmarks.plot`. Needs matplotlib, which only .venvs/bench has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PANELS = (
    ("calls_per_wait", "status calls a finished wait"),
    ("late_p50_seconds", "seen late, median (s)"),
    ("late_p99_seconds", "seen late, p99 (s)"),
)


def draw(rows: list[dict[str, Any]], target: Path) -> None:
    """One panel a figure, one line a way of waiting, against the number of waits."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "waits"  # the same rows give the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(12, 3.6), layout="constrained")
    for panel, (name, label) in zip(panels, PANELS, strict=True):
        for way in sorted({row["way"] for row in rows}, reverse=True):
            mine = sorted((row["waits"], row[name]) for row in rows if row["way"] == way)
            panel.plot(*zip(*mine, strict=True), marker="o", label=way)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("waits in one process")
        panel.set_title(label, fontsize=10)
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads((HERE / "waits.json").read_text(encoding="utf-8")), HERE / "waits.svg")
