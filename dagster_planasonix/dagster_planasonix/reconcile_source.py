"""Dagster's ledger for reconcile: what steps wrote to the event log, and what became of their runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from dagster_planasonix.ledger import LedgerEntry, Owner, all_entries, newest_entry
from dagster_planasonix.provenance import run_link
from planasonix.errors import ConfigurationError
from planasonix.runs import Entry, Unreadable
from planasonix.runs.reconcile.findings import Owner as OwnerState

SINCE_HOURS = 48.0
_ROOT_RUN = "dagster/root_run_id"
_WILL_RETRY = "dagster/will_retry"
_RETRIED_BY = "dagster/auto_retry_run_id"
_RETRY_COMES_SECONDS = 3600.0
"""How long after a run's failure the daemon may still start the retry that it has announced."""
_OPTIONS = ("webserver_url", "base_url")

_State = tuple[OwnerState, str, float | None]


class DagsterSource:
    """The newest entry of each request that a step of this instance made.

    :param since_hours: entries written within these hours are looked at.
    :param webserver_url: the address of Dagster's UI, for links to runs.
    :param base_url: leave out what was asked of another API.

    The owner of an entry is its run, and whatever re-executes it: a run group in which one run still goes on, waits in
    the queue or is announced as a retry is alive. A detached run has handed its job to the sensor: it counts as alive
    up to the job's deadline, and as ended after that.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        *,
        since_hours: float = SINCE_HOURS,
        webserver_url: str | None = None,
        base_url: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._instance = instance
        self._since_hours = since_hours
        self._webserver_url = webserver_url
        self._base_url = base_url
        self._now = now
        self._found: dict[str, LedgerEntry] = {}
        self._states: dict[str, _State] = {}

    def close(self) -> None:
        """Nothing stays open."""

    def entries(self) -> Iterator[Entry | Unreadable]:
        seen: set[str] = set()
        for found in all_entries(self._instance, since=self._now() - self._since_hours * 3600.0):
            if not isinstance(found, LedgerEntry):
                yield Unreadable("an entry of the ledger", found.headline())
            elif found.slot not in seen:
                seen.add(found.slot)
                if found.record is not None and self._base_url in (None, found.owner.base_url):
                    name = _name(found)
                    self._found[name] = found
                    yield self._entry(name, found, self._state(found.owner, asked_anew=False))

    def refresh(self, slot: str) -> Entry | None:
        newest = newest_entry(self._instance, self._found[slot].slot)
        if newest is None or newest.record is None:
            return None
        return self._entry(slot, newest, self._state(newest.owner, asked_anew=True))

    def ledger_entry(self, slot: str) -> LedgerEntry:
        """What stands in the ledger under the slot of a finding."""
        return self._found[slot]

    def _entry(self, name: str, found: LedgerEntry, state: _State) -> Entry:
        record = found.record
        assert record is not None  # noqa: S101 - entries without a record are left out before
        owner, told, ended_at = state
        if not found.owner.waits and owner == "ended":
            deadline = record.deadline_at
            if record.run_id is not None and deadline is not None and self._now() < deadline:
                owner, told, ended_at = "alive", "detached: the sensor waits for it", None
            else:
                told, ended_at = f"{told}, and the deadline of its detached job has passed", deadline or ended_at
        link = run_link(self._webserver_url, found.owner.run_id)
        return Entry(name, record, owner, told, ended_at, link)

    def _state(self, owner: Owner, *, asked_anew: bool) -> _State:
        if asked_anew or owner.root_run_id not in self._states:
            self._states[owner.root_run_id] = self._ask(owner)
        return self._states[owner.root_run_id]

    def _ask(self, owner: Owner) -> _State:
        wanted = dg.RunsFilter(tags={_ROOT_RUN: owner.root_run_id})
        records = [
            *self._instance.get_run_records(dg.RunsFilter(run_ids=[owner.root_run_id, owner.run_id])),
            *self._instance.get_run_records(wanted),
        ]
        if not records:
            return "ended", "deleted", None
        for record in records:
            if not record.dagster_run.is_finished:
                return "alive", record.dagster_run.status.value, None
        last = max(records, key=lambda record: record.end_time or 0.0)
        run = last.dagster_run
        announced = run.tags.get(_WILL_RETRY) == "true" and _RETRIED_BY not in run.tags
        if announced and self._now() - (last.end_time or 0.0) < _RETRY_COMES_SECONDS:
            return "alive", f"{run.status.value}, to be retried", None
        return "ended", run.status.value, last.end_time


def _name(found: LedgerEntry) -> str:
    owner = found.owner
    part = f" {owner.part}" if owner.part else ""
    return f"{owner.job_name}/{owner.run_id}/{owner.step_key}{part} ({found.slot.partition('/')[0]})"


def source(since_hours: float | None, options: Mapping[str, str]) -> DagsterSource:
    """What `planasonix reconcile --source dagster` calls, where DAGSTER_HOME names the instance.

    Options: `webserver_url` (links to runs), `base_url` (only jobs of this API). The command cancels orphans; events
    that are missing are told by the job of `build_planasonix_reconcile_job`, which knows the assets.
    """
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ConfigurationError(
            f"The source 'dagster' has no option {unknown[0]!r}.",
            field="option",
            hint=f"It takes {', '.join(_OPTIONS)}.",
        )
    try:
        instance = dg.DagsterInstance.get()
    except dg.DagsterError as error:
        raise ConfigurationError(
            f"There is no Dagster instance here: {error}",
            field="DAGSTER_HOME",
            hint="Set DAGSTER_HOME to the folder of the dagster.yaml that the deployment uses.",
        ) from error
    chosen: dict[str, Any] = dict(options)
    return DagsterSource(instance, since_hours=SINCE_HOURS if since_hours is None else since_hours, **chosen)
