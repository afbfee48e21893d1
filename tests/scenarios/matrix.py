"""All cells, in the order of the table."""

from tests.scenarios.exits import EXITS
from tests.scenarios.promises import PROMISES
from tests.scenarios.scenario import Cell, Scenario

CELLS: tuple[Cell, ...] = (*EXITS, *PROMISES)
SCENARIOS: tuple[Scenario, ...] = tuple(cell for cell in CELLS if isinstance(cell, Scenario))
