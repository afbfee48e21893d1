"""The ledger: one artifact of the flow run for each wish, written before its job is started and completed after.

It is a markdown artifact, because those can be read on the run's page and changed in place. What the page shows first
is for people; the JSON in the block below it is what this package reads. The key names the connection, so that the
Artifacts page has one line for it, with all its jobs; the slot within the JSON tells the wishes of one run apart.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.runs import Record, RunHandle, Unreadable
from planasonix.runs.shown import record_state
from planasonix.runs.target import target_text
from prefect_planasonix.owner import RunOwner

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import Artifact

logger = logging.getLogger("prefect_planasonix")

KEY_PREFIX = "planasonix-ledger-"
VERSION = 1
_MARK = "planasonix_ledger"
_PAGE = 200
_BLOCK = re.compile(r"```json\n(\{.*\})\n```\s*\Z", re.DOTALL)
_SKEW_SECONDS = 3600.0
"""How much earlier than our first POST another run may have written what it owns: clocks of workers differ."""


class LedgerError(PlanasonixError):
    """Prefect's API did not take or give what the ledger needs. Nothing is started without it."""

    retryable = True
    outcome = "not_sent"


@dataclass(frozen=True)
class LedgerEntry:
    """One wish of one run, as the ledger has it.

    `waits`: whether somebody waited for the job, or it was only started. `on_shutdown` and `credentials_block` (the
    name of the saved block, None for one that was not saved) are for those who put an end to it later. `base_url` and
    `organization_id` say where the job is. `tries` are those of the owner that asked for the job last; none in what an
    old version wrote. `deferral` is there once the flow run was to be suspended for the job: in
    which `try` of the flow, and whether it wants to be woken for each end (`return_when`). `more` is what a stage of a
    backfill remembers beside its record. `artifact_id` is None until it was written.
    """

    slot: str
    owner: RunOwner
    record: Record
    number: int = 0
    waits: bool = True
    on_shutdown: str = "cancel"
    base_url: str | None = None
    organization_id: str | None = None
    credentials_block: str | None = None
    job_url_template: str | None = None
    tries: tuple[int, ...] = ()
    deferral: dict[str, Any] | None = None
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    artifact_id: UUID | None = None
    updated: datetime | None = None

    @property
    def flow_run_id(self) -> str | None:
        return self.owner.flow_run_id

    @property
    def handle(self) -> RunHandle | None:
        """The job, None as long as no answer named one."""
        return None if self.record.run_id is None else RunHandle.of(self.record, reattached=True)

    def asked_for_in(self, tries: tuple[int, ...]) -> bool:
        """Whether a try that is not later asked for the job: Prefect runs a resumed flow from its top, in the same try
        of the flow and with all tasks at their first.
        """
        return self.record.run_id is not None and bool(self.tries) and tries <= self.tries

    @property
    def link(self) -> str | None:
        return None if self.handle is None else self.handle.link(self.job_url_template)

    def to_document(self) -> dict[str, Any]:
        """What the artifact holds; JSON-ready, without a secret."""
        return {
            _MARK: VERSION,
            "slot": self.slot,
            "number": self.number,
            "owner": self.owner.to_dict(),
            "waits": self.waits,
            "on_shutdown": self.on_shutdown,
            "base_url": self.base_url,
            "organization_id": self.organization_id,
            "credentials_block": self.credentials_block,
            "job_url_template": self.job_url_template,
            "tries": list(self.tries),
            "deferral": self.deferral,
            "record": {**self.more, **self.record.to_dict()},
        }

    @classmethod
    def from_document(cls, data: dict[str, Any]) -> LedgerEntry:
        """Read what any version wrote; fields of a newer one are left alone. Raises `ConfigurationError`."""
        plain = ("number", "waits", "on_shutdown", "base_url", "organization_id", "credentials_block")
        try:
            return cls(
                slot=str(data["slot"]),
                owner=RunOwner.from_dict(data["owner"]),
                record=Record.from_dict(data["record"]),
                tries=_tries_in(data),
                more={name: data["record"][name] for name in data["record"] if name not in Record.__dataclass_fields__},
                **{name: data[name] for name in (*plain, "job_url_template", "deferral") if name in data},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"The ledger entry is damaged: {error!r}.", field="ledger") from error

    def to_markdown(self) -> str:
        """The artifact's text: a table for people, and the document."""
        record = self.record
        name = f"{record.kind} `{record.run_id}`" if record.run_id else f"{record.kind}, no id yet"
        rows = [("Run", f"[{name}]({self.link})" if self.link else name)]
        rows.append(("Of", target_text(record.kind, record.target_id)))
        rows.append(("State", record_state(record)))
        body = json.loads(record.body)
        if "start_at" in body and "end_at" in body:
            rows.append(("Window", f"[{body['start_at']}, {body['end_at']})"))
        if record.sent_at is not None:
            rows.append(("Asked for", f"{datetime.fromtimestamp(record.sent_at, UTC):%Y-%m-%d %H:%M:%SZ}"))
        if record.generation:
            rows.append(("Generation", str(record.generation)))
        table = "\n".join(f"| {name} | {value.replace('|', ' ')} |" for name, value in rows)
        # The escape keeps the block whole, whatever the names in it hold.
        text = json.dumps(self.to_document(), sort_keys=True).replace("`", "\\u0060")
        return f"| Planasonix | |\n| --- | --- |\n{table}\n\nFor the plugin, do not edit:\n\n```json\n{text}\n```\n"


def _tries_in(data: dict[str, Any]) -> tuple[int, ...]:
    """Old versions wrote the try of the flow only, and only where it was to be suspended."""
    if data.get("tries"):
        return tuple(int(each) for each in data["tries"])
    deferral = data.get("deferral") or {}
    return (int(deferral["try"]), 0) if "try" in deferral else ()


def entry_of(artifact: Artifact) -> LedgerEntry | None:
    """The entry that an artifact holds; None for somebody else's. Raises `ConfigurationError` for a damaged one."""
    if not (artifact.key or "").startswith(KEY_PREFIX) or not isinstance(artifact.data, str):
        return None
    block = _BLOCK.search(artifact.data)
    try:
        data = json.loads(block[1]) if block else None
    except ValueError as error:
        raise ConfigurationError(f"The ledger entry is damaged: {error}.", field="ledger") from error
    if not isinstance(data, dict) or not isinstance(data.get(_MARK), int):
        raise ConfigurationError("The ledger entry is damaged: its JSON block is gone.", field="ledger")
    return replace(LedgerEntry.from_document(data), artifact_id=artifact.id, updated=artifact.updated)


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

        text = entry.to_markdown()
        with told_as_ledger_error("written"):
            if entry.artifact_id is not None:
                self._client.update_artifact(entry.artifact_id, ArtifactUpdate(data=text))
                return entry
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
        self._is_noted = is_noted
        self._store = store
        self._fresh = fresh
        self._before_start = before_start

    def read(self) -> Record | None:
        return None if self.entry is None else self.entry.record

    def write(self, record: Record) -> None:
        """Returns once Prefect has it. Raises what `before_start` says where a start comes next."""
        if record.run_id is None and record.sent_at is not None:
            self._before_start()
        if self.entry is not None:
            self.entry = self._store.write(replace(self.entry, record=record))
        elif self._fresh is not None:
            self.entry = self._store.write(self._fresh(record))
        self._is_noted = True

    def note(self) -> None:
        """Write the entry, unless it stands there as it is."""
        if self.entry is not None and not self._is_noted:
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
            hint="Nothing is started without its entry there. See whether the API can be reached (PREFECT_API_URL) "
            "and whether its key may create artifacts; a retry goes on.",
        ) from error
