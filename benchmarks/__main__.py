"""Measure, print one table, and keep it in results.json; nothing fails here, the gates are tests.

python -m benchmarks                   all groups
python -m benchmarks --only calls      one group; the others stay as they were kept
python -m benchmarks --write           no measuring: put what is kept into README.md
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from benchmarks import results
from benchmarks.figure import Figure, figures_of

# Modules whose public functions yield rows; each is imported when its turn comes, since they need different things.
MODULES = {
    "calls": "benchmarks.beside",
    "imports": "benchmarks.imports",
    "waits": "benchmarks.waits",
    "deferred": "benchmarks.deferred",
    "webhooks": "benchmarks.webhooks",
    "inbox": "benchmarks.inbox_scale",
    "definitions": "benchmarks.dagster_definitions",
    "prefect": "benchmarks.prefect_waits",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MODULES, action="append", help="measure this group (may be repeated)")
    parser.add_argument("--write", action="store_true", help="measure nothing, write README.md's table")
    options = parser.parse_args()
    if options.write:
        results.write_readme(MODULES)
        return 0
    print(f"{results.machine()}, loopback, no TLS\n\n{results.HEAD}")
    for group in options.only or MODULES:
        load = results.load()
        figures: list[Figure] = []
        for figure in measured(import_module(MODULES[group])):
            print(results.line(figure), flush=True)
            figures.append(figure)
        results.keep(group, figures, load)
    return 0


def measured(module: ModuleType) -> Iterator[Figure]:
    """The rows of every public generator function of the module that takes no argument, in the order of its text."""
    for name, function in vars(module).items():
        if name.startswith("_") or not inspect.isgeneratorfunction(function) or function.__module__ != module.__name__:
            continue
        if not inspect.signature(function).parameters:
            yield from figures_of(function())


if __name__ == "__main__":
    sys.exit(main())
