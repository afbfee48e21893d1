"""The run engine: one job per intent, found again after a crash, waited for, cancelled by whom it belongs to.

Data flows one way: request → intent → handle → watch → outcome → native metadata. The decisions are I/O-free
generators (`start`, `cancel`, `retire`, `outcome`); `drivers` carries them out with the sync or the async client, and
`blocking` and `aio` are what plugins call.
"""

from typing import TYPE_CHECKING, Any

from planasonix.runs.blocking import (
    cancel_run,
    outcome_of,
    run_to_end,
    start_run,
    wait_for_run,
    wait_while_busy,
)
from planasonix.runs.decide import IfRunning, Policy
from planasonix.runs.handle import RunHandle
from planasonix.runs.intent import idempotency_key, new_intent
from planasonix.runs.ledger import Ledger, MemoryLedger, SqliteLedger
from planasonix.runs.outcome import Outcome, RunWarning, TableOutcome, outcome_from_dict
from planasonix.runs.provenance import Provenance
from planasonix.runs.record import Record
from planasonix.runs.report import headline, raise_for_failure, report
from planasonix.runs.requests import BackfillRequest, RunRequest, SyncRequest
from planasonix.runs.start import Started

if TYPE_CHECKING:
    from planasonix.runs.aio import acancel_run, aoutcome_of, astart_run, await_run

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
    "cancel_run",
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

_NEED_ASYNCIO = frozenset({"acancel_run", "aoutcome_of", "astart_run", "await_run"})


def __getattr__(name: str) -> Any:
    if name not in _NEED_ASYNCIO:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # On use, because a DAG file that names an operator never runs in an event loop.
    from planasonix.runs import aio

    return getattr(aio, name)
