"""The ledger: one artifact of the flow run for each wish, written before its job is started and completed after.

It is a markdown artifact, because those can be read on the run's page and changed in place. What the page shows first
is for people; the JSON in the block below it is what this package reads. The key names the connection, so that the
Artifacts page has one line for it, with all its jobs; the slot within the JSON tells the wishes of one run apart.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.runs import Record, Unreadable
from prefect_planasonix.ledger_entry import KEY_PREFIX, LedgerEntry, entry_of
from prefect_planasonix.owner import RunOwner

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import Artifact

logger = logging.getLogger("prefect_planasonix")

_PAGE = 200
_SKEW_SECONDS = 3600.0
"""How much earlier than our first POST another run may have written what it owns: clocks of workers differ."""


class LedgerError(PlanasonixError):
    """Prefect's API did not take or give what the ledger needs. No start request is sent without it."""

    retryable = True
    outcome = "not_sent"


def artifact_key(target_id: str) -> str:
    """The key of a connection's or pipeline's entries: Prefect allows lowercase letters, digits and dashes."""
    return KEY_PREFIX + re.sub(r"[^a-z0-9]+", "-", target_id.lower()).strip("-")


class ArtifactStore:
    """The entries of one run (a flow run, or the run of a task without a flow). Blocking: for a thread.

    Raises `LedgerError` where Prefect's API cannot be used.
    """

    def __init__(self, client: SyncPrefectClient, owner: RunOwner) -> None:
        self._client = client
        self._owner = owner

    def entries(self, target_id: str) -> list[LedgerEntry]:
        """What the run has written of one target, oldest first. Raises `ConfigurationError` for a damaged entry."""
        with told_as_ledger_error("read"):
            found = list(_artifacts(self._client, _filter(self._owner, artifact_key(target_id))))
        entries = [entry for entry in map(entry_of, found) if entry is not None]
        # Two may stand for one slot where the answer to the first writing was lost: the newest counts.
        return list({entry.slot: entry for entry in sorted(entries, key=_age)}.values())

    def write(self, entry: LedgerEntry) -> LedgerEntry:
        """Make the entry durable, in place where it was written before; returns it with its artifact's id."""
        from uuid import UUID

        from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
        from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

        text = entry.to_markdown()
        with told_as_ledger_error("written"):
            if entry.artifact_id is not None:
                try:
                    self._client.update_artifact(entry.artifact_id, ArtifactUpdate(data=text))
                    return entry
                except (ObjectNotFound, PrefectHTTPStatusError) as error:
                    # One that somebody has deleted is made anew.
                    if isinstance(error, PrefectHTTPStatusError) and error.response.status_code != 404:
                        raise
            owner = entry.owner
            made = self._client.create_artifact(
                ArtifactCreate(
                    key=artifact_key(entry.record.target_id),
                    type="markdown",
                    description="The ledger of prefect-planasonix: what was started, and how it stands.",
                    data=text,
                    flow_run_id=None if owner.home_flow_run_id is None else UUID(owner.home_flow_run_id),
                    task_run_id=None if owner.task_run_id is None else UUID(owner.task_run_id),
                )
            )
            return replace(entry, artifact_id=made.id)

    def owned_elsewhere(self, run_ids: Iterable[str], entry: LedgerEntry) -> frozenset[str]:
        """Those of `run_ids` that other entries of this Prefect server own, as far back as they can matter."""
        sent_at = entry.record.sent_at
        since = None if sent_at is None else datetime.fromtimestamp(sent_at - _SKEW_SECONDS, UTC)
        mine = (self._owner.run_id, entry.slot)
        owned: set[str] = set()
        with told_as_ledger_error("read"):
            for other in _readable(entries_since(self._client, since, key=artifact_key(entry.record.target_id))):
                if (other.owner.run_id, other.slot) == mine:
                    continue
                owned |= {other.record.run_id} if other.record.run_id and other.record.owned else set()
                owned |= set(other.record.earlier_ids)
        return frozenset(run_ids) & owned


class ArtifactLedger:
    """One slot of the store, as the run engine wants it (`planasonix.runs.Ledger`).

    `entry` is what stands there; where nothing does, `fresh` makes the first entry of a record. `before_start` is
    called before each start request is noted, and may raise: then nothing is sent. `is_noted`: whether the entry stands
    there as it is given.
    """

    def __init__(
        self,
        store: ArtifactStore,
        entry: LedgerEntry | None,
        fresh: Callable[[Record], LedgerEntry] | None = None,
        before_start: Callable[[], None] = lambda: None,
        *,
        is_noted: bool = True,
    ) -> None:
        self.entry = entry
        self.is_noted = is_noted
        self._store = store
        self._fresh = fresh
        self._before_start = before_start
        # Two calls may write one entry: the one that waits for the job, and its end.
        self._writing = threading.Lock()

    def read(self) -> Record | None:
        return None if self.entry is None else self.entry.record

    def write(self, record: Record) -> None:
        """Returns once Prefect has it. Raises what `before_start` says where a start comes next.

        That an answer has named the run is kept here before Prefect has it, and also where Prefect does not take it:
        the job runs, and is to be waited for, or cancelled. Its start request stands there, with which a retry finds
        the run; `is_noted` is false then.
        """
        if record.run_id is None and record.sent_at is not None:
            self._before_start()
        with self._writing:
            if self.entry is not None:
                names_it = record.run_id is not None and record.run_id != self.entry.record.run_id
                entry = replace(self.entry, record=record)
                if names_it:
                    self.entry, self.is_noted = entry, False
                try:
                    self.entry = self._store.write(entry)
                except LedgerError:
                    if not names_it:
                        raise
                    return
            elif self._fresh is not None:
                self.entry = self._store.write(self._fresh(record))
            self.is_noted = True

    def note_waiting(self) -> None:
        """Write that somebody waits for the job, unless that stands there, or the job has ended."""
        with self._writing:
            if self.entry is not None and not self.entry.waits and self.entry.record.ended_as is None:
                self.entry = self._store.write(replace(self.entry, waits=True))

    def note(self) -> None:
        """Write the entry, unless it stands there as it is."""
        if self.entry is not None and not self.is_noted:
            self.write(self.entry.record)

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        return frozenset() if self.entry is None else self._store.owned_elsewhere(run_ids, self.entry)


def records_of(client: SyncPrefectClient, flow_run_id: UUID | str) -> list[LedgerEntry]:
    """The wishes of one flow run, and of the subflows that it called, oldest first. What cannot be read is logged and
    left out.

    Raises `LedgerError` where Prefect's API cannot be used.
    """
    asked = str(flow_run_id)
    with told_as_ledger_error("read"):
        found = list(_artifacts(client, _filter(RunOwner(flow_run_id=asked), None)))
        above = [
            artifact
            for caller in _callers(client, asked)
            for artifact in _artifacts(client, _filter(RunOwner(flow_run_id=str(caller)), None))
        ]
    entries = list(_readable(map(_entry_or_why, found)))
    # Those of a subflow hang on the run that called it.
    entries += [entry for entry in _readable(map(_entry_or_why, above)) if entry.flow_run_id == asked]
    entries.sort(key=_age)
    return list({entry.slot: entry for entry in entries}.values())


def entries_since(
    client: SyncPrefectClient, since: datetime | None, *, key: str | None = None
) -> Iterator[LedgerEntry | Unreadable]:
    """What was written since then (aware; None: ever) by any run, newest first. `key`: only entries of that one.

    Raises `LedgerError` where Prefect's API cannot be used.
    """
    with told_as_ledger_error("read"):
        for artifact in _artifacts(client, _filter(RunOwner(), key)):
            if since is not None and artifact.updated is not None and artifact.updated < since:
                return
            found = _entry_or_why(artifact)
            if found is not None:
                yield found


def _callers(client: SyncPrefectClient, flow_run_id: str) -> list[UUID]:
    from uuid import UUID

    from prefect.exceptions import ObjectNotFound

    from prefect_planasonix.home import callers_of

    try:
        run = client.read_flow_run(UUID(flow_run_id))
        called_by = run.parent_task_run_id if run.deployment_id is None else None
        return callers_of(client, run.id, called_by)
    except ObjectNotFound:
        return []


def _entry_or_why(artifact: Artifact) -> LedgerEntry | Unreadable | None:
    try:
        return entry_of(artifact)
    except ConfigurationError as error:
        return Unreadable(f"artifact {artifact.id}", str(error))


def _readable(found: Iterable[LedgerEntry | Unreadable | None]) -> Iterator[LedgerEntry]:
    for each in found:
        if isinstance(each, LedgerEntry):
            yield each
        elif each is not None:
            logger.warning("%s: %s", each.slot, each.why)


def _age(entry: LedgerEntry) -> tuple[float, float]:
    updated = entry.updated.timestamp() if entry.updated is not None else 0.0
    return (updated, entry.record.sent_at or 0.0)


def _filter(owner: RunOwner, key: str | None) -> Any:
    from uuid import UUID

    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterKey,
        ArtifactFilterTaskRunId,
    )

    wanted: dict[str, Any] = {
        "key": ArtifactFilterKey(like_=f"{KEY_PREFIX}%") if key is None else ArtifactFilterKey(any_=[key])
    }
    if owner.home_flow_run_id is not None:
        wanted["flow_run_id"] = ArtifactFilterFlowRunId(any_=[UUID(owner.home_flow_run_id)])
    elif owner.task_run_id is not None:
        wanted["task_run_id"] = ArtifactFilterTaskRunId(any_=[UUID(owner.task_run_id)])
    return ArtifactFilter(**wanted)


def _artifacts(client: SyncPrefectClient, wanted: Any) -> Iterator[Artifact]:
    """Page by page, those first that were written last."""
    from prefect.client.schemas.sorting import ArtifactSort

    seen = 0
    while True:
        page = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC, limit=_PAGE, offset=seen)
        yield from page
        seen += len(page)
        if len(page) < _PAGE:
            return


@contextmanager
def told_as_ledger_error(what: str) -> Iterator[None]:
    """Turns whatever Prefect's client raises into one sentence; its own text may quote what was sent."""
    try:
        yield
    except PlanasonixError:
        raise
    except Exception as error:
        raise LedgerError(
            f"The ledger could not be {what} through Prefect's API: {type(error).__name__}.",
            hint="No start request is sent without its entry there; a job that was started before is found by a retry. "
            "See whether the API can be reached (PREFECT_API_URL) and whether its key may create artifacts.",
        ) from error
