"""Back-off, deadline, budget, clock, and the rule that the engine is standard library only."""

from __future__ import annotations

import ast
import asyncio
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planasonix.engine
from planasonix.engine import SYSTEM_CLOCK, Backoff, Deadline, Request, RetryBudget
from planasonix.engine.simulate import SimulatedClock


@given(st.integers(1, 10_000), st.integers())
def test_backoff_stays_between_nothing_and_its_cap(failures, seed):
    delay = Backoff().delay(failures, random.Random(seed))
    assert 0.0 <= delay <= min(30.0, 0.5 * 2 ** min(failures - 1, 60))


def test_backoff_uses_the_whole_range():
    rng = random.Random(1)
    delays = [Backoff().delay(3, rng) for _ in range(1000)]
    assert min(delays) < 0.1
    assert max(delays) > 1.9


def test_deadline():
    clock = SimulatedClock()
    deadline = Deadline.after(10.0, clock)
    assert deadline.remaining(clock.monotonic()) == 10.0
    clock.advance(11.0)
    assert deadline.remaining(clock.monotonic()) == 0.0
    assert Deadline.after(None, clock).remaining(1e12) == float("inf")


def test_budget_refills_with_calls():
    budget = RetryBudget(ratio=0.5, burst=1.0)
    assert budget.withdraw()
    assert not budget.withdraw()
    budget.deposit()
    budget.deposit()
    assert budget.withdraw()


def test_the_simulated_clock_does_not_run_backwards():
    with pytest.raises(ValueError, match="backwards"):
        SimulatedClock().advance(-1.0)


def test_the_system_clock():
    before = SYSTEM_CLOCK.monotonic()
    SYSTEM_CLOCK.sleep(0.001)
    asyncio.run(SYSTEM_CLOCK.asleep(0.001))
    assert SYSTEM_CLOCK.monotonic() - before >= 0.002
    assert SYSTEM_CLOCK.time() > 1_700_000_000


def test_a_request_shows_neither_headers_nor_body():
    text = repr(Request("POST", "/x", headers={"authorization": "canary"}, body=b"canary"))
    assert "canary" not in text


def test_the_engine_imports_the_standard_library_and_errors_only():
    for path in Path(planasonix.engine.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                allowed = name.startswith(("planasonix.engine", "planasonix.errors"))
                assert allowed or top in sys.stdlib_module_names, f"{path.name} imports {name}"
