"""What the tests of every orchestrator share: which cells there are, and what each of them asserts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.driver import Driver
from tests.scenarios.judge import differences
from tests.scenarios.matrix import CELLS
from tests.scenarios.scenario import Scenario, cells_of
from tests.scenarios.stage import Stage
from tests.scenarios.table import SEEN


def cells(driver: type[Driver], *, alone: bool) -> list[object]:
    """Parameters for tests. Those of a promise run at every landing, all of them with `make scenarios`."""
    return [
        pytest.param(
            scenario, id=scenario.id, marks=[pytest.mark.scenario, *([pytest.mark.promise] if scenario.promise else [])]
        )
        for scenario in cells_of(CELLS, driver.not_applicable, driver.landing, driver.differs)
        if isinstance(scenario, Scenario) and scenario.alone is alone
    ]


def chosen(request: pytest.FixtureRequest, file: Path) -> list[Scenario]:
    """The scenarios that this session plays out of one test file."""
    return [
        item.callspec.params["scenario"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == file and hasattr(item, "callspec")
    ]


def check(stage: Stage, scenario: Scenario, config: pytest.Config) -> None:
    """Play it, keep what was seen for the table, and compare."""
    try:
        seen = stage.seen(scenario)
    except Exception as error:
        config.stash[SEEN][scenario.id] = f"{type(error).__name__}: {error}".splitlines()[0]
        raise
    config.stash[SEEN][scenario.id] = seen
    found = differences(scenario.expected, seen)
    assert found == [], "\n".join(found)
