"""The run engine: one job per intent, found again after a crash, waited for, cancelled by whom it belongs to.

Data flows one way: request → intent → handle → watch → outcome → native metadata. The decisions are I/O-free
generators (`start`, `cancel`, `retire`, `outcome`); `drivers` carries them out with the sync or the async client, and
`blocking` and `aio` are what plugins call.
"""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from planasonix.runs.aio import acancel_run, aoutcome_of, astart_run, await_run
    from planasonix.runs.blocking import (
        busy_pause_seconds,
        outcome_of,
        run_to_end,
        start_run,
        wait_for_run,
        wait_while_busy,
    )
    from planasonix.runs.decide import IfRunning, Policy
    from planasonix.runs.giving_up import cancel_run, end_at_deadline, give_up
    from planasonix.runs.handle import RunHandle
    from planasonix.runs.intent import idempotency_key, new_intent
    from planasonix.runs.ledger import Ledger, MemoryLedger, SqliteLedger
    from planasonix.runs.outcome import Outcome, RunWarning, TableOutcome, outcome_from_dict
    from planasonix.runs.provenance import Provenance
    from planasonix.runs.record import Record
    from planasonix.runs.reporting import headline, raise_for_failure, report
    from planasonix.runs.requests import BackfillRequest, RunRequest, SyncRequest
    from planasonix.runs.start import Started

__all__ = [
    "BackfillRequest",
    "IfRunning",
    "Ledger",
    "MemoryLedger",
    "Outcome",
    "Policy",
    "Provenance",
    "Record",
    "RunHandle",
    "RunRequest",
    "RunWarning",
    "SqliteLedger",
    "Started",
    "SyncRequest",
    "TableOutcome",
    "acancel_run",
    "aoutcome_of",
    "astart_run",
    "await_run",
    "busy_pause_seconds",
    "cancel_run",
    "end_at_deadline",
    "give_up",
    "headline",
    "idempotency_key",
    "new_intent",
    "outcome_from_dict",
    "outcome_of",
    "raise_for_failure",
    "report",
    "run_to_end",
    "start_run",
    "wait_for_run",
    "wait_while_busy",
]

__getattr__ = lazy_names(
    __name__,
    {
        "aio": (
            "acancel_run",
            "aoutcome_of",
            "astart_run",
            "await_run",
        ),
        "blocking": (
            "busy_pause_seconds",
            "outcome_of",
            "run_to_end",
            "start_run",
            "wait_for_run",
            "wait_while_busy",
        ),
        "decide": (
            "IfRunning",
            "Policy",
        ),
        "giving_up": (
            "cancel_run",
            "end_at_deadline",
            "give_up",
        ),
        "handle": ("RunHandle",),
        "intent": (
            "idempotency_key",
            "new_intent",
        ),
        "ledger": (
            "Ledger",
            "MemoryLedger",
            "SqliteLedger",
        ),
        "outcome": (
            "Outcome",
            "RunWarning",
            "TableOutcome",
            "outcome_from_dict",
        ),
        "provenance": ("Provenance",),
        "record": ("Record",),
        "reporting": (
            "headline",
            "raise_for_failure",
            "report",
        ),
        "requests": (
            "BackfillRequest",
            "RunRequest",
            "SyncRequest",
        ),
        "start": ("Started",),
    },
)
