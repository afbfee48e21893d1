"""Which cells Dagster has, what they are called there, and why the others cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from tests.scenarios.scenario import Mode

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
    "With cancel_on_kill=False the user keeps the job whatever becomes of the task.": (
        "With cancel_on_termination=False the user keeps the job whatever becomes of the run."
    ),
}

_BESIDE = "A run is re-executed once it has ended; one beside it is a wish of its own and waits while it is busy."
_NO_SUCCESS = "Dagster has no act that calls a running run done."
_ENDED = "The run has ended once its job is started: nothing is left to terminate. A job of its own cancels."
_NO_RETRY = "The run has ended well before its job ends: nothing retries it, and the sensor tells how it ended."
_SHORT = "The run lasts seconds: its own limit is never reached."
_ONE_DAEMON = "One daemon evaluates the sensor, one tick after the other: no second one is there to disagree with it."
_SENSOR = "The sensor looks for all connections at once, and is put to this test by itself (tests/dagster)."

NOT_APPLICABLE: Mapping[tuple[str, Mode], str] = {
    ("again while running", "blocking"): _BESIDE,
    ("mark success", "blocking"): _NO_SUCCESS,
    **{
        (name, "deferred"): reason
        for reason, names in {
            _ENDED: (
                "user kill", "again while deferred", "mark failed", "mark success", "siblings", "backfill given up",
                "opted out", "waiters down during a kill",
            ),
            _BESIDE: ("again while running",),
            _NO_RETRY: ("retry after a failed job", "job cancelled by somebody", "failed table"),
            _SHORT: ("tool's timeout",),
            _SENSOR: (
                "our timeout", "waiter crash", "waiters killed", "waiters restarted", "429 storm", "503 storm",
            ),
            _ONE_DAEMON: ("two waiters, one frozen",),
        }.items()
        for name in names
    },
}  # fmt: skip

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
