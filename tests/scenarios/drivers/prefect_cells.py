"""Which cells Prefect has, what they are called there, and why the others cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from tests.scenarios.scenario import Differs, Mode

WORDS: Mapping[str, str] = {
    "user kill": "Cancel",
    "worker evicted": 'SIGTERM to the flow run\'s process, with on_shutdown="leave"',
    "worker killed": "SIGKILL to the flow run's process",
    "mark failed": "Cancelled, forced",
    "tool's timeout": "timeout_seconds of the flow",
    "again after success": "a new flow run after success",
    "siblings": "flow runs beside one another",
    "lost machine": "SIGKILL to the process and to serve",
    "waiter": "cleanup or reconciler",
    "worker": "flow run",
    "waiters killed": "reconciler killed",
    "waiters restarted": "reconciler restarted",
    "waiters down during a kill": "cancelled with nobody to clean up",
    "two waiters, one frozen": "two reconcilers, one frozen",
    "With cancel_on_kill=False the user keeps the job whatever becomes of the task.": (
        "With cancel_on_cancellation=False the user keeps the job whatever becomes of the flow run."
    ),
}

_BESIDE = "A flow run is retried once it has ended; one beside it is a wish of its own and waits while it is busy."
_NO_SUCCESS = "Prefect's pages have no act that calls a running flow run done."
_SUSPENDED = "A suspended flow run cannot be begun anew: it is resumed, or it is cancelled."
_NO_LIMIT = "Prefect's limit counts while a flow runs, and none runs while it is suspended: the job has a deadline."
_RECONCILER = "A look of the reconciler that breaks ends nothing: the next one resumes (tests/prefect)."

NOT_APPLICABLE: Mapping[tuple[str, Mode], str] = {
    ("again while running", "blocking"): _BESIDE,
    ("mark success", "blocking"): _NO_SUCCESS,
    **{
        (name, "deferred"): reason
        for reason, names in {
            _BESIDE: ("again while running",),
            _SUSPENDED: ("again while deferred",),
            _NO_SUCCESS: ("mark success",),
            _NO_LIMIT: ("tool's timeout",),
            _RECONCILER: ("waiter crash",),
        }.items()
        for name in names
    },
}

DIFFERS: Mapping[tuple[str, Mode], Differs] = {
    # No code can tell Prefect that a retry of its flow makes no sense. The retry does not start the job again.
    ("job cancelled by somebody", "blocking"): Differs(tries=2),
    ("job cancelled by somebody", "deferred"): Differs(tries=2),
    # The automation cleans up after any cancelled run, and may be first.
    ("given up while starting", "deferred"): Differs(by=("worker", "waiter")),
}

LANDING: frozenset[tuple[str, Mode]] = frozenset(
    {
        ("user kill", "blocking"),
        ("worker evicted", "blocking"),
        ("worker killed", "blocking"),
        ("lost answer", "blocking"),
        ("failed job", "blocking"),
        ("429 storm", "blocking"),
        ("metadata both ways", "deferred"),
        ("key echoed", "blocking"),
    }
)
"""One cell of each promise."""
