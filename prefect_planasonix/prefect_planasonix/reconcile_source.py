"""Prefect's ledger for reconcile: what flow runs wrote into their artifacts, and what became of them since."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.runs import Entry, Unreadable
from planasonix.runs.reconcile.findings import Owner
from prefect_planasonix.ledger import entries_since, records_of
from prefect_planasonix.ledger_entry import LedgerEntry
from prefect_planasonix.provenance import run_link
from prefect_planasonix.sleepers import records_of_runs, suspended_runs
from prefect_planasonix.termination import SeenState

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, TaskRun

    from planasonix.client.config import ClientConfig

SINCE_HOURS = 48.0
_PAGE = 200
_LEVELS = 10
"""How deep subflows are followed up to the run that Prefect would retry."""

State = tuple[Owner, str, float | None]


class PrefectSource:
    """The newest entry of each wish that flow runs of this Prefect server wrote.

    :param since_hours: entries written within these hours are looked at.
    :param flow_run_id: only those of this flow run.
    :param of: the settings of the client that is to look: what was asked of another address or organization is left
        out.
    :param credentials_block: the name of the saved block that the client was made of; None for the environment.

    The owner of an entry is its flow run, and for a subflow the run that called it: Prefect retries that one. It has
    ended when its state is a final one; a run that waits for its retry, or is suspended, is alive. Raises `LedgerError`
    where Prefect's API cannot be used.
    """

    def __init__(
        self,
        client: SyncPrefectClient,
        *,
        since_hours: float = SINCE_HOURS,
        flow_run_id: str | None = None,
        of: ClientConfig | None = None,
        credentials_block: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._since_hours = since_hours
        self._flow_run_id = flow_run_id
        self._of = of
        self._credentials_block = credentials_block
        self._now = now
        self._found: dict[str, LedgerEntry] = {}
        self._states: dict[str, State] = {}

    def close(self) -> None:
        """Nothing stays open."""

    def entries(self) -> Iterator[Entry | Unreadable]:
        if self._flow_run_id is not None:
            found: Iterable[LedgerEntry | Unreadable] = records_of(self._client, self._flow_run_id)
        else:
            since = datetime.fromtimestamp(self._now() - self._since_hours * 3600.0, UTC)
            found = entries_since(self._client, since)
        for each in found:
            if isinstance(each, Unreadable):
                yield each
            elif self.is_of_client(each):
                # Two artifacts may stand for one wish; the newest comes first.
                self._found.setdefault(slot_of(each), each)
        self._states |= self._ask(self._found.values())
        for slot in self._found:
            yield self._entry(slot)

    def refresh(self, slot: str) -> Entry | None:
        try:
            return self._refreshed(slot)
        except Exception as error:
            # In doubt a job is left, and the next one is looked at.
            told = f"not to be asked: {type(error).__name__}"
            return replace(self._entry(slot), owner="unknown", owner_text=told)

    def _refreshed(self, slot: str) -> Entry | None:
        owner = self._found[slot].owner
        for each in records_of(self._client, owner.flow_run_id) if owner.flow_run_id else [self._found[slot]]:
            if slot_of(each) == slot:
                self._found[slot] = each
                self._states |= self._ask([each])
                return self._entry(slot)
        return None

    def asleep(self) -> Iterator[tuple[FlowRun, list[LedgerEntry]]]:
        """The suspended flow runs, each with what it has asked this client's API for, however long ago."""
        for page in suspended_runs(self._client, self._flow_run_id):
            asked = records_of_runs(self._client, [run.id for run in page])
            for run in page:
                yield run, [each for each in asked.get(str(run.id), []) if self.is_of_client(each)]

    def has_key_of(self, entry: LedgerEntry) -> bool:
        """Whether a run that the client does not find is gone: another organization's key finds nothing either."""
        here = None if self._of is None else self._of.organization_id
        if here is not None and entry.organization_id is not None:
            return here == entry.organization_id
        return entry.credentials_block == self._credentials_block

    def is_of_client(self, entry: LedgerEntry) -> bool:
        if self._of is None:
            return True
        here = self._of.organization_id
        same_organization = here is None or entry.organization_id in (None, here)
        return same_organization and entry.base_url in (None, self._of.base_url)

    def _entry(self, slot: str) -> Entry:
        found = self._found[slot]
        owner, told, ended_at = self._states[_run_of(found)]
        record = found.record
        only_started = not found.waits and told != "Cancelled"
        if only_started or (found.on_shutdown == "leave" and told in ("Crashed", "stopped with its worker")):
            # Only started, by a run that nobody has cancelled; or left running on purpose, for a run that is to come.
            record = replace(record, leave_running=True)
        return Entry(slot, record, owner, told, ended_at, run_link(found.owner))

    def _ask(self, entries: Iterable[LedgerEntry]) -> dict[str, State]:
        """The state of each owner, by the id of its run: some calls for all of them."""
        states: dict[str, State] = {}
        lines = {_run_of(each): each.owner for each in entries}
        asked = {run_id: owner.flow_run_id for run_id, owner in lines.items() if owner.flow_run_id is not None}
        for run_id, owner in lines.items():
            if owner.flow_run_id is None:
                states[run_id] = self._state_of_task(run_id)
        for _ in range(_LEVELS):
            if not asked:
                break
            runs = self._flow_runs(set(asked.values()))
            above: dict[str, str] = {}
            for run_id, flow_run_id in asked.items():
                run = runs.get(flow_run_id)
                states[run_id] = states.get(run_id, ("ended", "deleted", None)) if run is None else state_of(run)
                # The run of a deployment has retries of its own, whoever called it.
                is_part = run is not None and run.deployment_id is None and run.parent_task_run_id is not None
                if run is not None and is_part and states[run_id][0] == "ended":
                    above[run_id] = str(run.parent_task_run_id)
            parents = self._parents(set(above.values()))
            asked = {run_id: parents[task] for run_id, task in above.items() if task in parents}
        return states

    def _flow_runs(self, ids: set[str]) -> dict[str, FlowRun]:
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        found: dict[str, FlowRun] = {}
        for some in _pages(ids):
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=some))
            found |= {str(run.id): run for run in self._client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE)}
        return found

    def _parents(self, task_run_ids: set[str]) -> dict[str, str]:
        """The flow run of each of these task runs, by the task run's id."""
        return {run: str(task.flow_run_id) for run, task in self._task_runs(task_run_ids).items() if task.flow_run_id}

    def _task_runs(self, ids: set[str]) -> dict[str, TaskRun]:
        from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterId

        found: dict[str, TaskRun] = {}
        for some in _pages(ids):
            wanted = TaskRunFilter(id=TaskRunFilterId(any_=some))
            found |= {str(run.id): run for run in self._client.read_task_runs(task_run_filter=wanted, limit=_PAGE)}
        return found

    def _state_of_task(self, task_run_id: str) -> State:
        found = self._task_runs({task_run_id}).get(task_run_id)
        return ("ended", "deleted", None) if found is None else state_of(found)


def state_of(run: FlowRun | TaskRun) -> State:
    """(whether the run still owns its jobs, its state in a word, when it ended in seconds since the epoch)."""
    state: Any = run.state
    if state is None:
        return "unknown", "without a state", None
    name = str(state.name or state.type.value)
    if not state.is_final():
        return "alive", name, None
    seen = SeenState(state.type.value, name, str(state.message or ""))
    return "ended", "stopped with its worker" if seen.by_shutdown else name, state.timestamp.timestamp()


def slot_of(entry: LedgerEntry) -> str:
    """The name of an entry in reports: whose wish it is, and which."""
    owner = entry.owner
    flow = owner.flow_name or owner.task_name or "task"
    return f"{flow}/{owner.flow_run_name or owner.run_id} {entry.slot} ({_run_of(entry)})"


def _run_of(entry: LedgerEntry) -> str:
    return str(entry.owner.run_id)


def _pages(ids: Iterable[str]) -> Iterator[list[UUID]]:
    many = [UUID(each) for each in sorted(ids)]
    for begin in range(0, len(many), _PAGE):
        yield many[begin : begin + _PAGE]
