"""The run engine for callers in an event loop: triggers, flows. Waiting goes through the shared watcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planasonix.errors import PlanasonixError, WaitTimeoutError
from planasonix.runs.cancel import cancel
from planasonix.runs.decide import Policy
from planasonix.runs.drivers import Log, aperform
from planasonix.runs.effects import RunView
from planasonix.runs.handle import RunHandle
from planasonix.runs.ledger import Ledger
from planasonix.runs.outcome import Outcome, fetch_outcome
from planasonix.runs.provenance import Provenance
from planasonix.runs.requests import RunRequest, with_settings
from planasonix.runs.start import Start, Started
from planasonix.runs.waiting import busy_pause_seconds, leaves_it_running
from planasonix.watch import Interval, Kind, WatchedRun, watch_shared

if TYPE_CHECKING:
    from planasonix.client import AsyncPlanasonix
    from planasonix.runs.effects import RunView


async def astart_run(
    client: AsyncPlanasonix,
    request: RunRequest,
    *,
    intent: str,
    ledger: Ledger,
    provenance: Provenance,
    policy: Policy | None = None,
    metadata: dict[str, object] | None = None,
    log: Log | None = None,
) -> Started:
    """As `start_run`."""
    policy = policy or Policy(idempotency=client.config.idempotency_of(request.operation))
    request = with_settings(request, client.config)
    start = Start(request, intent, provenance, policy, time.time, metadata)
    return await aperform(client, start.steps(ledger.read()), ledger=ledger, log=log)


async def await_run(
    client: AsyncPlanasonix,
    handle: RunHandle,
    *,
    interval: Interval | None = None,
    on_change: Callable[[WatchedRun], None] | None = None,
    remind_seconds: float | None = None,
) -> WatchedRun:
    """Return the run once it ended, well or not; raises `WaitTimeoutError` past its deadline (the run goes on)."""
    with leaves_it_running():
        return await watch_shared(
            client,
            handle.kind,
            handle.id,
            timeout_seconds=max(0.0, handle.deadline_at - time.time()),
            created_at=datetime.fromtimestamp(handle.created_at, UTC),
            interval=interval,
            age_seconds=handle.age_seconds(time.time()),
            on_change=on_change,
            remind_seconds=remind_seconds,
        )


async def await_while_taken(
    client: AsyncPlanasonix,
    kind: Kind,
    run_id: str | None,
    *,
    since: float,
    until: float,
    interval: Interval | None = None,
) -> None:
    """As `planasonix.runs.waiting.wait_while_taken`, through the shared watcher."""
    now = time.time()
    pause = max(0.0, min(until - now, busy_pause_seconds(now - since)))
    if run_id is None:
        await asyncio.sleep(pause)
        return
    try:
        await watch_shared(client, kind, run_id, timeout_seconds=max(0.0, until - now), interval=interval)
    except WaitTimeoutError:
        return
    except PlanasonixError:
        await asyncio.sleep(pause)


async def aoutcome_of(
    client: AsyncPlanasonix,
    handle: RunHandle,
    *,
    expected_tables: Iterable[str] = (),
    ended: RunView | None = None,
    seconds: float | None = None,
    read_before: MutableMapping[str, Any] | None = None,
) -> Outcome:
    """As `outcome_of`."""
    steps = fetch_outcome(
        handle,
        expected_tables=expected_tables,
        job_url_template=client.config.job_url_template,
        ended=ended,
        seconds=seconds,
        read_before=read_before,
    )
    return await aperform(client, steps)


async def acancel_run(client: AsyncPlanasonix, handle: RunHandle, *, patience_seconds: float = 30.0) -> str | None:
    """As `cancel_run`."""
    if not handle.owned:
        return None
    return await aperform(client, cancel(handle.kind, handle.id, meant=handle, patience_seconds=patience_seconds))
