"""Definitions from stored state cost little more than the same written by hand."""

from __future__ import annotations

import time

import dagster as dg
import pytest

from benchmarks.definitions_contenders import best_seconds, by_hand, ours, state_of
from dagster_planasonix.state import state_from_json

GATE = 1.5
CONNECTIONS, TABLES = 30, 50


def test_what_is_compared_is_the_same() -> None:
    def described(made: list[dg.AssetsDefinition]) -> list[object]:
        return [
            (each.op.name, each.op.pool, dict(each.op.tags), list(each.specs), sorted(map(str, each.check_keys)))
            for each in made
        ]

    assert described(ours(state_of(2, 3).to_json())) == described(by_hand(2, 3))


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_definitions_cost_little_more_than_by_hand() -> None:
    text = state_of(CONNECTIONS, TABLES).to_json()
    contenders = {"hand": lambda: by_hand(CONNECTIONS, TABLES), "ours": lambda: ours(text)}
    ratio = float("inf")
    # Noise only ever adds: measure on while the figure is too high.
    for _ in range(4):
        best = best_seconds(contenders)
        ratio = min(ratio, best["ours"] / best["hand"])
        if ratio <= GATE:
            break
    assert ratio <= GATE


@pytest.mark.alone
def test_a_state_of_fifty_thousand_tables_is_read_quickly() -> None:
    text = state_of(500, 100).to_json()
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        state_from_json(text)
        best = min(best, time.process_time() - began)
        if best <= 0.5:
            break
    assert best <= 0.5
