"""The two drivers: they carry out what the run engine's generators ask for, with the sync or the async client."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from planasonix.errors import ConflictError, NotFoundError
from planasonix.runs.effects import (
    Cancel,
    Claimed,
    Effect,
    Get,
    Listed,
    ListSince,
    Nodes,
    Post,
    Results,
    Save,
    Say,
    Sleep,
    Steps,
)
from planasonix.runs.ledger import Ledger, MemoryLedger
from planasonix.watch.protocols import ACTIVE_LISTS, reader_of

if TYPE_CHECKING:
    from planasonix.client import AsyncPlanasonix, Planasonix

T = TypeVar("T")
Log = Callable[[str, str], None]
"""Takes a level (`info`, `warning`) and one line."""


def perform(client: Planasonix, steps: Steps[T], *, ledger: Ledger | None = None, log: Log | None = None) -> T:
    """Carry out the steps and return what they come to; their errors come through."""
    ledger = ledger or MemoryLedger()
    try:
        effect = next(steps)
        while True:
            try:
                answer = _do(client, effect, ledger, log)
            except Exception as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        return end.value


async def aperform(
    client: AsyncPlanasonix, steps: Steps[T], *, ledger: Ledger | None = None, log: Log | None = None
) -> T:
    """The same with the async client. The ledger's calls are short and made in a thread."""
    ledger = ledger or MemoryLedger()
    try:
        effect = next(steps)
        while True:
            try:
                answer = await _ado(client, effect, ledger, log)
            except Exception as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as end:
        return end.value


def _do(client: Planasonix, effect: Effect, ledger: Ledger, log: Log | None) -> Any:
    match effect:
        case Post(record, retry_unknown):
            reply = client.start(
                record.operation,
                record.target_id,
                record.body.encode(),
                record.key,
                retry_unknown=retry_unknown,
            )
            return reply.run, reply.attempts
        case Get(kind, run_id):
            return reader_of(client, kind).get(run_id)
        case ListSince(kind="run"):
            if client.clock_offset_seconds is None:
                client.runs.list_page(pipeline_id=effect.target_id, limit=1)
            since = _in_server_time(effect, client.clock_offset_seconds)
            runs: dict[str, Any] = {}
            for filters in _run_filters(effect, since):
                runs |= {run.id: run for run in client.runs.list(**filters)}
            return Listed(_not_before(since, list(runs.values())), client.clock_offset_seconds)
        case ListSince():
            if client.clock_offset_seconds is None:
                # `since` is compared with the server's stamps: one call tells how far its clock is from ours.
                client.jobs.list_page(connection_id=effect.target_id, limit=1)
            since = _in_server_time(effect, client.clock_offset_seconds)
            if effect.kind == "job":
                return Listed(list(client.jobs.list(**_job_filters(effect, since))), client.clock_offset_seconds)
            rows = list(client.backfills.list(connection_id=effect.target_id, limit=100))
            return Listed(_not_before(since, rows), client.clock_offset_seconds)
        case Cancel(kind, run_id):
            return reader_of(client, kind).cancel(run_id)
        case Results(job_id):
            try:
                return client.jobs.results(job_id)
            except (ConflictError, NotFoundError):
                return None
        case Nodes(run_id):
            try:
                return client.runs.nodes(run_id)
            except (ConflictError, NotFoundError):
                return None
        case Sleep(seconds):
            time.sleep(seconds)
        case _:
            return _do_here(effect, ledger, log)


async def _ado(client: AsyncPlanasonix, effect: Effect, ledger: Ledger, log: Log | None) -> Any:
    import asyncio  # here, because the sync driver's users never need it

    match effect:
        case Post(record, retry_unknown):
            reply = await client.start(
                record.operation,
                record.target_id,
                record.body.encode(),
                record.key,
                retry_unknown=retry_unknown,
            )
            return reply.run, reply.attempts
        case Get(kind, run_id):
            return await reader_of(client, kind).get(run_id)
        case ListSince(kind="run"):
            if client.clock_offset_seconds is None:
                await client.runs.list_page(pipeline_id=effect.target_id, limit=1)
            since = _in_server_time(effect, client.clock_offset_seconds)
            runs: dict[str, Any] = {}
            for filters in _run_filters(effect, since):
                runs |= {run.id: run async for run in client.runs.list(**filters)}
            return Listed(_not_before(since, list(runs.values())), client.clock_offset_seconds)
        case ListSince():
            if client.clock_offset_seconds is None:
                await client.jobs.list_page(connection_id=effect.target_id, limit=1)
            since = _in_server_time(effect, client.clock_offset_seconds)
            if effect.kind == "job":
                jobs = [job async for job in client.jobs.list(**_job_filters(effect, since))]
                return Listed(jobs, client.clock_offset_seconds)
            rows = [row async for row in client.backfills.list(connection_id=effect.target_id, limit=100)]
            return Listed(_not_before(since, rows), client.clock_offset_seconds)
        case Cancel(kind, run_id):
            return await reader_of(client, kind).cancel(run_id)
        case Results(job_id):
            try:
                return await client.jobs.results(job_id)
            except (ConflictError, NotFoundError):
                return None
        case Nodes(run_id):
            try:
                return await client.runs.nodes(run_id)
            except (ConflictError, NotFoundError):
                return None
        case Sleep(seconds):
            await asyncio.sleep(seconds)
        case _:
            return await asyncio.to_thread(_do_here, effect, ledger, log)


def _do_here(effect: Effect, ledger: Ledger, log: Log | None) -> Any:
    """What needs no client."""
    match effect:
        case Save(record):
            ledger.write(record)
        case Claimed(run_ids):
            return ledger.claimed(run_ids)
        case Say(level, text):
            if log is not None:
                log(level, text)
        case _:
            raise TypeError(f"not an effect of the run engine: {effect!r}")


def _in_server_time(effect: ListSince, offset_seconds: float | None) -> datetime:
    return datetime.fromtimestamp(effect.since + (offset_seconds or 0.0), UTC)


def _job_filters(effect: ListSince, since: datetime) -> dict[str, Any]:
    filters = {"connection_id": effect.target_id, "since": since, "limit": 100}
    return filters if effect.job_type is None else {**filters, "type": effect.job_type}


def _run_filters(effect: ListSince, since: datetime) -> list[dict[str, Any]]:
    """A list of runs that is bounded in time may leave out those that are queued (facts §1.4). Each list is asked for
    after the states that a run leaves for those of the next one, so that none slips through.
    """
    each: list[dict[str, Any]] = [*({"status": status} for status in ACTIVE_LISTS["run"].statuses), {"since": since}]
    return [{"pipeline_id": effect.target_id, "limit": 100, **more} for more in each]


def _not_before(since: datetime, rows: list[Any]) -> list[Any]:
    """The backfill list has no `since` (facts §1.1), and those of active runs are not asked with one."""
    return [row for row in rows if row.created_at is None or row.created_at >= since]
