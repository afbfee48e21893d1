"""Run every figure and print one table; nothing is judged here, the gates are tests."""

from __future__ import annotations

import platform
import sys

from benchmarks import calls, imports, waits


def main() -> int:
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, loopback, no TLS\n")
    print("| figure | measured |\n|---|---|")
    for figure in (calls.sync_calls, calls.async_calls, imports.airflow_operators, waits.thousand_waits):
        for name, value in figure():
            print(f"| {name} | {value} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
