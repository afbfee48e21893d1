"""The table of what was seen, at the end of the run."""

from __future__ import annotations

import pytest

from tests.scenarios.table import SEEN, printed


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SEEN] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if seen := config.stash[SEEN]:
        terminalreporter.section("scenarios")
        terminalreporter.write_line(printed(seen))
