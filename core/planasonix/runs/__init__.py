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
        outcome_of,
        run_to_end,
        start_run,
        wait_for_run,
        wait_while_busy,
    )
    from planasonix.runs.book import Book, MemoryBook, SqliteBook
    from planasonix.runs.decide import IfRunning, Policy, is_paused
    from planasonix.runs.ending import EndedRun, end_run
    from planasonix.runs.giving_up import cancel_run, end_at_deadline, find_lost_run, give_up
    from planasonix.runs.handle import RunHandle
    from planasonix.runs.intent import idempotency_key, new_intent
    from planasonix.runs.ledger import Ledger, MemoryLedger, SqliteLedger
    from planasonix.runs.nodes import NodeOutcome
    from planasonix.runs.outcome import Outcome, RunWarning, TableOutcome, outcome_from_dict
    from planasonix.runs.partition_keys import window_of_key
    from planasonix.runs.pipeline_names import apipeline_id_of, pipeline_id_of
    from planasonix.runs.polled.cursor import PollCursor
    from planasonix.runs.polled.hinted import Hint, take_hint, tell_hinted
    from planasonix.runs.polled.listener import Interest, Listener, NoRoomError
    from planasonix.runs.polled.look import Polled
    from planasonix.runs.polled.poll import poll_runs
    from planasonix.runs.provenance import Provenance
    from planasonix.runs.reconcile.drive import Reconciliation, reconcile_ledger
    from planasonix.runs.reconcile.findings import Entry, Finding, Unreadable
    from planasonix.runs.reconcile.sources import LedgerSource, SqliteSource, read_record, source_named
    from planasonix.runs.record import Record
    from planasonix.runs.reporting import headline, raise_for_failure, report, told
    from planasonix.runs.requests import BackfillRequest, PipelineRunRequest, RunRequest, SyncRequest
    from planasonix.runs.since.blocking import wait_for_run_since
    from planasonix.runs.since.judge import Sighting
    from planasonix.runs.since.look import afind_run_since, find_run_since
    from planasonix.runs.since.shared import await_run_since
    from planasonix.runs.since.wish import RunSince, WantedStatus
    from planasonix.runs.staged.drive import (
        advance_stages,
        busy_until,
        cancel_stages,
        run_stages_to_end,
        staged_outcome,
        wait_for_progress,
    )
    from planasonix.runs.staged.ends import stage_ends
    from planasonix.runs.staged.partitions import plan_partitions
    from planasonix.runs.staged.plan import PlannedStage, planned, wish_of
    from planasonix.runs.staged.progress import StagedProgress
    from planasonix.runs.staged.result import StagedOutcome, StageOutcome, raise_for_stages, report_stages
    from planasonix.runs.staged.windows import Stage, plan_stages
    from planasonix.runs.staged.wish import StagedBackfill
    from planasonix.runs.start import Started
    from planasonix.runs.story import REMIND_SECONDS, Story, retold
    from planasonix.runs.waiting import busy_pause_seconds, wait_for_any

__all__ = [
    "BackfillRequest",
    "Book",
    "EndedRun",
    "Entry",
    "Finding",
    "Hint",
    "IfRunning",
    "Interest",
    "Ledger",
    "LedgerSource",
    "Listener",
    "MemoryBook",
    "MemoryLedger",
    "NoRoomError",
    "NodeOutcome",
    "Outcome",
    "PipelineRunRequest",
    "PlannedStage",
    "Policy",
    "PollCursor",
    "Polled",
    "Provenance",
    "REMIND_SECONDS",
    "Reconciliation",
    "Record",
    "RunHandle",
    "RunRequest",
    "RunSince",
    "RunWarning",
    "Sighting",
    "SqliteBook",
    "SqliteLedger",
    "SqliteSource",
    "Stage",
    "StageOutcome",
    "StagedBackfill",
    "StagedOutcome",
    "StagedProgress",
    "Started",
    "Story",
    "SyncRequest",
    "TableOutcome",
    "Unreadable",
    "WantedStatus",
    "acancel_run",
    "advance_stages",
    "afind_run_since",
    "aoutcome_of",
    "astart_run",
    "await_run",
    "await_run_since",
    "busy_pause_seconds",
    "busy_until",
    "cancel_run",
    "cancel_stages",
    "apipeline_id_of",
    "end_at_deadline",
    "find_lost_run",
    "find_run_since",
    "end_run",
    "give_up",
    "headline",
    "idempotency_key",
    "is_paused",
    "new_intent",
    "outcome_from_dict",
    "outcome_of",
    "pipeline_id_of",
    "plan_partitions",
    "plan_stages",
    "planned",
    "poll_runs",
    "raise_for_failure",
    "raise_for_stages",
    "read_record",
    "reconcile_ledger",
    "report",
    "report_stages",
    "retold",
    "run_stages_to_end",
    "run_to_end",
    "source_named",
    "stage_ends",
    "staged_outcome",
    "start_run",
    "take_hint",
    "tell_hinted",
    "told",
    "wait_for_any",
    "wait_for_progress",
    "wait_for_run",
    "wait_for_run_since",
    "wait_while_busy",
    "window_of_key",
    "wish_of",
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
            "outcome_of",
            "run_to_end",
            "start_run",
            "wait_for_run",
            "wait_while_busy",
        ),
        "book": (
            "Book",
            "MemoryBook",
            "SqliteBook",
        ),
        "decide": (
            "IfRunning",
            "Policy",
            "is_paused",
        ),
        "ending": (
            "EndedRun",
            "end_run",
        ),
        "pipeline_names": (
            "apipeline_id_of",
            "pipeline_id_of",
        ),
        "reconcile.findings": (
            "Entry",
            "Finding",
            "Unreadable",
        ),
        "giving_up": (
            "cancel_run",
            "end_at_deadline",
            "find_lost_run",
            "give_up",
        ),
        "handle": ("RunHandle",),
        "intent": (
            "idempotency_key",
            "new_intent",
        ),
        "nodes": ("NodeOutcome",),
        "ledger": (
            "Ledger",
            "MemoryLedger",
            "SqliteLedger",
        ),
        "reconcile.sources": (
            "LedgerSource",
            "SqliteSource",
            "read_record",
            "source_named",
        ),
        "outcome": (
            "Outcome",
            "RunWarning",
            "TableOutcome",
            "outcome_from_dict",
        ),
        "staged.ends": ("stage_ends",),
        "staged.partitions": ("plan_partitions",),
        "partition_keys": ("window_of_key",),
        "polled.cursor": ("PollCursor",),
        "polled.hinted": ("Hint", "take_hint", "tell_hinted"),
        "polled.listener": (
            "Interest",
            "Listener",
            "NoRoomError",
        ),
        "polled.look": ("Polled",),
        "polled.poll": ("poll_runs",),
        "provenance": ("Provenance",),
        "reconcile.drive": (
            "Reconciliation",
            "reconcile_ledger",
        ),
        "record": ("Record",),
        "reporting": (
            "headline",
            "raise_for_failure",
            "report",
            "told",
        ),
        "requests": (
            "BackfillRequest",
            "PipelineRunRequest",
            "RunRequest",
            "SyncRequest",
        ),
        "since.blocking": ("wait_for_run_since",),
        "since.judge": ("Sighting",),
        "since.look": (
            "afind_run_since",
            "find_run_since",
        ),
        "since.shared": ("await_run_since",),
        "since.wish": (
            "RunSince",
            "WantedStatus",
        ),
        "staged.plan": (
            "PlannedStage",
            "planned",
            "wish_of",
        ),
        "staged.progress": ("StagedProgress",),
        "staged.result": (
            "StagedOutcome",
            "StageOutcome",
            "raise_for_stages",
            "report_stages",
        ),
        "staged.drive": (
            "advance_stages",
            "busy_until",
            "cancel_stages",
            "run_stages_to_end",
            "staged_outcome",
            "wait_for_progress",
        ),
        "staged.wish": ("StagedBackfill",),
        "start": ("Started",),
        "story": (
            "REMIND_SECONDS",
            "Story",
            "retold",
        ),
        "waiting": (
            "busy_pause_seconds",
            "wait_for_any",
        ),
        "staged.windows": (
            "Stage",
            "plan_stages",
        ),
    },
)
