"""The book of a staged backfill among the artifacts of its flow run: the wish, and an entry for each stage."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.errors import ConfigurationError
from planasonix.runs import Record
from prefect_planasonix.ledger import ArtifactStore, artifact_key, told_as_ledger_error
from prefect_planasonix.ledger_entry import LedgerEntry

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from prefect_planasonix.owner import RunOwner

HEADER = "wish"
_KEY_PREFIX = "planasonix-stages-"
_BLOCK = re.compile(r"```json\n(\{.*\})\n```\s*\Z", re.DOTALL)


@dataclass
class StagedBook:
    """The entries of one staged backfill of one flow run, as the run engine wants them (`planasonix.runs.Book`).

    `slot` names the backfill; a stage stands under that with its own name added, where reconcile and the hooks find it
    as they find any job. `fresh` makes the first entry of a record in a slot. `before_start` is called before each
    start request is noted, and may raise. What was read or written once is kept: no other process works for a living
    run. Make one with `open_book`. Blocking: for a thread; raises `LedgerError` where Prefect's API cannot be used.
    """

    client: SyncPrefectClient
    owner: RunOwner
    target_id: str
    slot: str
    fresh: Callable[[str, Record], LedgerEntry]
    before_start: Callable[[], None]
    entries: dict[str, LedgerEntry]
    header: dict[str, Any] | None = None
    header_id: UUID | None = None

    def read(self, name: str) -> dict[str, Any] | None:
        if name == HEADER:
            return self.header
        entry = self.entries.get(name)
        return None if entry is None else {**entry.record.to_dict(), **entry.more}

    def write(self, name: str, entry: dict[str, Any]) -> None:
        """Returns once Prefect has it. Raises what `before_start` says where a start comes next."""
        if name == HEADER:
            self._write_header(entry)
            return
        record = Record.from_dict(entry)
        if record.run_id is None and record.sent_at is not None and entry.get("outcome") is None:
            self.before_start()
        more = {key: value for key, value in entry.items() if key not in Record.__dataclass_fields__}
        found = self.entries.get(name) or self.fresh(f"{self.slot}/{name}", record)
        store = ArtifactStore(self.client, self.owner)
        self.entries[name] = store.write(replace(found, record=record, more=more))

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> frozenset[str]:
        entry = self.entries.get(besides)
        if entry is None:
            return frozenset()
        return ArtifactStore(self.client, self.owner).owned_elsewhere(run_ids, entry)

    def _write_header(self, header: dict[str, Any]) -> None:
        from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

        text = f"{_told(header)}\n\nFor the plugin, do not edit:\n\n```json\n{_text(self.slot, header)}\n```\n"
        with told_as_ledger_error("written"):
            if self.header_id is not None:
                self.client.update_artifact(self.header_id, ArtifactUpdate(data=text))
            else:
                made = self.client.create_artifact(
                    ArtifactCreate(
                        key=header_key(self.slot, self.target_id),
                        type="markdown",
                        description="A backfill in stages: how far it is.",
                        data=text,
                        flow_run_id=UUID(self.owner.home_flow_run_id) if self.owner.home_flow_run_id else None,
                        task_run_id=UUID(self.owner.task_run_id) if self.owner.task_run_id else None,
                    )
                )
                self.header_id = made.id
        self.header = header


def open_book(
    client: SyncPrefectClient,
    owner: RunOwner,
    target_id: str,
    slot: str,
    fresh: Callable[[str, Record], LedgerEntry],
    before_start: Callable[[], None] = lambda: None,
) -> StagedBook:
    """Read what the owner's run has of this backfill. Raises as the book does."""
    prefix = f"{slot}/"
    found = ArtifactStore(client, owner).entries(target_id)
    entries = {one.slot.removeprefix(prefix): one for one in found if one.slot.startswith(prefix)}
    header, header_id = _header(client, owner, slot, target_id)
    return StagedBook(client, owner, target_id, slot, fresh, before_start, entries, header, header_id)


def header_key(slot: str, target_id: str) -> str:
    """The key of the header's artifact: of the connection, and of this backfill of it."""
    digest = hashlib.sha256(slot.encode()).hexdigest()[:8]
    return f"{_KEY_PREFIX}{artifact_key(target_id).removeprefix('planasonix-ledger-')}-{digest}"


def _header(
    client: SyncPrefectClient, owner: RunOwner, slot: str, target_id: str
) -> tuple[dict[str, Any] | None, UUID | None]:
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterKey,
        ArtifactFilterTaskRunId,
    )
    from prefect.client.schemas.sorting import ArtifactSort

    wanted: dict[str, Any] = {"key": ArtifactFilterKey(any_=[header_key(slot, target_id)])}
    if owner.home_flow_run_id is not None:
        wanted["flow_run_id"] = ArtifactFilterFlowRunId(any_=[UUID(owner.home_flow_run_id)])
    elif owner.task_run_id is not None:
        wanted["task_run_id"] = ArtifactFilterTaskRunId(any_=[UUID(owner.task_run_id)])
    with told_as_ledger_error("read"):
        found = client.read_artifacts(artifact_filter=ArtifactFilter(**wanted), sort=ArtifactSort.UPDATED_DESC, limit=1)
    if not found:
        return None, None
    block = _BLOCK.search(str(found[0].data))
    try:
        return json.loads(block[1])["header"] if block else {}, found[0].id
    except (ValueError, KeyError) as error:
        raise ConfigurationError(f"The book of the backfill is damaged: {error!r}.", field="ledger") from error


def _told(header: dict[str, Any]) -> str:
    active, failed = len(header.get("active") or ()), len(header.get("failed") or ())
    done = sum(last - first + 1 for first, last in header.get("done") or ())
    state = header.get("outcome") or "under way"
    return f"Backfill in stages, {state}: {done} loaded, {active} running, {failed} failed."


def _text(slot: str, header: dict[str, Any]) -> str:
    return json.dumps({"planasonix_stages": 1, "slot": slot, "header": header}, sort_keys=True).replace("`", "\\u0060")
