"""One entry of the ledger: what an artifact holds, for people and for this package."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planasonix.errors import ConfigurationError
from planasonix.runs import Record, RunHandle
from planasonix.runs.shown import record_state
from planasonix.runs.target import target_text
from prefect_planasonix.owner import RunOwner

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.schemas.objects import Artifact

KEY_PREFIX = "planasonix-ledger-"
VERSION = 1
_MARK = "planasonix_ledger"
_BLOCK = re.compile(r"```json\n(\{.*\})\n```\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class LedgerEntry:
    """One wish of one run, as the ledger has it.

    `waits`: whether somebody waited for the job, or it was only started. `on_shutdown` and `credentials_block` (the
    name of the saved block, None for one that was not saved) are for those who put an end to it later. `base_url` and
    `organization_id` say where the job is. `tries` are those of the owner that asked for the job last; none in what an
    old version wrote. `claim` says who took the entry over in which execution of the flow: (`RunOwner.execution`,
    `RunOwner.caller`). `deferral` is there once the flow run was to be suspended for the job: in
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
    claim: tuple[str, str] | None = None
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
            "claim": self.claim,
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
                owner=_checked(RunOwner.from_dict(data["owner"])),
                record=_checked_record(Record.from_dict(data["record"])),
                tries=_tries_in(data),
                claim=_claim_in(data),
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


def _checked(owner: RunOwner) -> RunOwner:
    """Anybody may edit an artifact: who is asked by these ids must not stumble over one."""
    from uuid import UUID

    for name in ("flow_run_id", "home_run_id", "task_run_id", "parent_task_run_id", "deployment_id"):
        if (run_id := getattr(owner, name)) is not None:
            UUID(run_id)
    if owner.flow_run_id is None and owner.task_run_id is None:
        raise ValueError("no owner is named")
    return owner


def _checked_record(record: Record) -> Record:
    if record.kind not in ("job", "backfill", "run"):
        raise ValueError(f"{record.kind!r} is no kind of run")
    from planasonix.client.routes import checked_id

    if record.run_id is not None:
        try:
            checked_id("run_id", record.run_id)
        except ConfigurationError as error:
            raise ValueError(error.headline()) from error
    return record


def _tries_in(data: dict[str, Any]) -> tuple[int, ...]:
    """Old versions wrote the try of the flow only, and only where it was to be suspended."""
    if data.get("tries"):
        return tuple(int(each) for each in data["tries"])
    deferral = data.get("deferral") or {}
    return (int(deferral["try"]), 0) if "try" in deferral else ()


def _claim_in(data: dict[str, Any]) -> tuple[str, str] | None:
    if data.get("claim") is None:
        return None
    execution, caller = data["claim"]
    return str(execution), str(caller)


def entry_of(artifact: Artifact) -> LedgerEntry | None:
    """The entry that an artifact holds; None for somebody else's. Raises `ConfigurationError` for a damaged one."""
    try:
        return _read(artifact)
    except ConfigurationError as error:
        hint = (
            f"Look at the jobs of the connection or pipeline for one that still runs, then delete the artifact "
            f"{artifact.id} ({artifact.key}), for example with `prefect artifact delete --id {artifact.id}`."
        )
        raise ConfigurationError(error.message, field=error.field, hint=hint) from error


def _read(artifact: Artifact) -> LedgerEntry | None:
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
