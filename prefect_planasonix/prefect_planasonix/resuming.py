"""Waking the flow runs that this package has suspended: which have something to do again, and what came of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect_planasonix.suspend import KEY_PREFIX

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from planasonix import Planasonix
    from prefect_planasonix.ledger_entry import LedgerEntry
    from prefect_planasonix.reconcile_source import PrefectSource


@dataclass
class Resumption:
    """A suspended run that was to be woken. `action`: `would_resume`, `resumed` or `not_resumed`; `error`: why not."""

    flow_run_id: str
    name: str
    why: str
    action: str
    error: str | None = None


def resume_all(
    client: Planasonix,
    prefect: SyncPrefectClient,
    source: PrefectSource,
    *,
    dry_run: bool,
    log: Callable[[str], object],
) -> list[Resumption]:
    """Wake all that have something to do. One that cannot be woken does not keep the others asleep."""
    done: list[Resumption] = []
    for flow_run, why in to_resume(client, source):
        told = Resumption(str(flow_run.id), flow_run.name, why, "would_resume")
        if not dry_run:
            try:
                told.action = resume_run(prefect, flow_run.id)
            except Exception as error:
                # In a word: Prefect's text may quote what was sent.
                told.action, told.error = "not_resumed", type(error).__name__
                told.why = f"{why}; {told.error}"
        log(f"flow run {told.name}: {told.action.replace('_', ' ')}: {told.why}")
        done.append(told)
    return done


def to_resume(client: Planasonix, source: PrefectSource) -> list[tuple[FlowRun, str]]:
    """The suspended runs that have something to do again, each with the reason."""
    from planasonix.runs.glance import ended_among

    asleep: list[tuple[FlowRun, list[LedgerEntry]]] = []
    for run, entries in source.asleep():
        awaited = [each for each in entries if each.deferral and each.handle and each.record.ended_as is None]
        if awaited and sleeps_for_us(run):
            asleep.append((run, awaited))
    handles = [entry.handle for _, entries in asleep for entry in entries if entry.handle]
    ended = ended_among(client, handles, missing=True)
    found: list[tuple[FlowRun, str]] = []
    for run, entries in asleep:
        over = [why for entry in entries if (why := _why_over(entry, ended, source))]
        wakes_for_each = any((entry.deferral or {}).get("return_when") == "first" for entry in entries)
        if len(over) == len(entries) or (over and wakes_for_each):
            found.append((run, "; ".join(over)))
    return found


def sleeps_for_us(run: FlowRun) -> bool:
    """Whether the run is suspended by this package: what a user has suspended stays so."""
    state: Any = run.state
    key = None if state is None else state.state_details.pause_key
    return state is not None and state.is_paused() and state.name == "Suspended" and str(key).startswith(KEY_PREFIX)


def resume_run(prefect: SyncPrefectClient, flow_run_id: UUID) -> str:
    """Resume it; what came of that in a word. One that somebody else has resumed meanwhile is well."""
    answer = prefect.resume_flow_run(flow_run_id)
    status = getattr(answer.status, "value", answer.status)
    if status == "ACCEPT":
        return "resumed"
    run = prefect.read_flow_run(flow_run_id)
    return "not_resumed" if sleeps_for_us(run) else "resumed"


def wake(prefect: SyncPrefectClient, flow_run_id: str, log: Callable[[str], object]) -> str:
    """Resume the run if it sleeps for us; `left` where it does not."""
    run = prefect.read_flow_run(UUID(flow_run_id))
    if not sleeps_for_us(run):
        log(f"flow run {run.name} does not sleep for a job, and is left as it is")
        return "left"
    return resume_run(prefect, run.id)


def _why_over(entry: LedgerEntry, ended: dict[Any, Any], source: PrefectSource) -> str | None:
    handle = entry.handle
    assert handle is not None  # noqa: S101 - asked only of entries that name a job
    if (handle.kind, handle.id) in ended:
        run = ended[handle.kind, handle.id]
        if run is not None:
            return f"{handle.kind} {handle.id} is {run.status}"
        # A key of another organization finds nothing either.
        if source.has_key_of(entry):
            return f"{handle.kind} {handle.id} cannot be found"
    if time.time() >= handle.deadline_at:
        return f"{handle.kind} {handle.id} is past its deadline"
    return None
