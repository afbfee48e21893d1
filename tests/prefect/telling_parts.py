"""Runs, outcomes and options for the tests of what is told."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

from planasonix.runs import Outcome, RunHandle, RunWarning, StagedOutcome, StageOutcome, TableOutcome
from prefect_planasonix.assets import DEFAULT_KEY_TEMPLATE

CONNECTION = "conn_shop_orders"
LINK = "https://app.example/backfills/backfill_1"


@dataclass(frozen=True)
class Options:
    artifacts: bool = True
    events: bool = True
    assets: bool = True
    asset_key_template: str = DEFAULT_KEY_TEMPLATE
    source_key_template: str | None = None


def handle(kind: Literal["job", "backfill", "run"] = "backfill", **changes: Any) -> RunHandle:
    now = time.time()
    values: dict[str, Any] = {
        "kind": kind,
        "id": f"{kind}_1",
        "target_id": "pl_1" if kind == "run" else CONNECTION,
        "owned": True,
        "created_at": now,
        "deadline_at": now + 60,
        "intent": "one",
    }
    return RunHandle(**values | changes)


def outcome(*tables: TableOutcome, **changes: Any) -> Outcome:
    """A backfill of the shop's orders that succeeded."""
    values: dict[str, Any] = {
        "kind": "backfill",
        "id": "backfill_1",
        "connection_id": CONNECTION,
        "status": "succeeded",
        "api_status": "completed",
        "tables": tables,
        "rows_loaded": sum(table.rows_loaded or 0 for table in tables),
        "duration_seconds": 4.5,
        "finished_at": "2026-01-05T10:00:04Z",
        "link": LINK,
    }
    return Outcome(**values | changes)


ORDERS = TableOutcome("public.orders", "loaded", 12, "sha256:12")
REFUNDS = TableOutcome("public.refunds", "failed")
QUIET = TableOutcome("public.quiet", "no_change")
UNREAD = TableOutcome("public.unread", "unknown")
WIDENED = RunWarning("W_WIDENED", "column public.orders.total was widened")


def partial() -> Outcome:
    """One table loaded, one failed."""
    return outcome(
        REFUNDS,
        ORDERS,
        status="failed",
        api_status="failed",
        error_code="E_SOURCE",
        error_message="the source went away",
        warnings=(WIDENED,),
    )


def staged(*states: str) -> StagedOutcome:
    """A backfill of one day a stage."""
    stages = tuple(
        StageOutcome(
            f"s{n}",
            f"2026-01-0{n + 1}T00:00:00Z",
            f"2026-01-0{n + 2}T00:00:00Z",
            state,  # type: ignore[arg-type]
            id=None if state == "not_started" else f"backfill_{n}",
            rows_loaded=5 if state == "done" else None,
            error_message="it broke" if state == "failed" else None,
            warnings=(WIDENED,) if state == "done" else (),
            link=LINK,
        )
        for n, state in enumerate(states)
    )
    status = "succeeded" if set(states) == {"done"} else "failed"
    end = f"2026-01-0{len(states) + 1}T00:00:00Z"
    return StagedOutcome(CONNECTION, status, "2026-01-01T00:00:00Z", end, stages, (ORDERS,), 5 * states.count("done"))


def seen(percent: float | None, status: str = "running", run_id: str = "backfill_1", **more: Any) -> Any:
    """The run as a wait shows it."""
    return SimpleNamespace(id=run_id, status=status, phase="active", created_at=None, progress_percent=percent, **more)
