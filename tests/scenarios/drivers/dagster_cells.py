"""Which cells Dagster has, what they are called there, and why the others cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from tests.scenarios.exits import EXITS
from tests.scenarios.promises import PROMISES
from tests.scenarios.scenario import Mode, Scenario

WORDS: Mapping[str, str] = {
    "user kill": "Terminate",
    "worker evicted": "SIGTERM to the run worker",
    "worker killed": "SIGKILL step process",
    "mark failed": "Terminate, forced",
    "tool's timeout": "dagster/max_runtime",
    "again after success": "re-execute all after success",
    "siblings": "runs beside one another",
    "lost machine": "SIGKILL step process and run worker",
    "waiter": "sensor",
    "worker": "step",
}

_BESIDE = "A run is re-executed once it has ended; one beside it is a wish of its own and waits while it is busy."
_NO_SUCCESS = "Dagster has no act that calls a running run done."
_NOBODY_WAITS = "The run has ended once its job is started: nothing waits that could be stopped, retried or evicted."
_ONE_SUBMIT = "As in blocking mode: the step that submits is the same up to the answer."

# What the detached mode does after the submit is the sensor's business, and shown by its own tests.
_DETACHED: Mapping[str, str] = {
    **{
        cell.name: _NOBODY_WAITS
        for cell in (*EXITS, *PROMISES)
        if isinstance(cell, Scenario) and cell.mode == "deferred"
    },
    **dict.fromkeys(("lost answer", "key echoed", "busy connection", "worker killed", "lost machine"), _ONE_SUBMIT),
}

NOT_APPLICABLE: Mapping[tuple[str, Mode], str] = {
    ("again while running", "blocking"): _BESIDE,
    ("mark success", "blocking"): _NO_SUCCESS,
    **{(name, "deferred"): reason for name, reason in _DETACHED.items()},
}

LANDING: frozenset[tuple[str, Mode]] = frozenset(
    {
        ("user kill", "blocking"),
        ("worker evicted", "blocking"),
        ("worker killed", "blocking"),
        ("lost answer", "blocking"),
        ("failed job", "blocking"),
        ("429 storm", "blocking"),
        ("metadata both ways", "blocking"),
        ("key echoed", "blocking"),
    }
)
"""One cell of each promise."""
