"""The suspended flow runs of a Prefect server, and what they have asked for: some calls for all of them.

Their age does not count. A job may run for days, and nobody writes to the ledger meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.errors import ConfigurationError
from prefect_planasonix.ledger import told_as_ledger_error
from prefect_planasonix.ledger_entry import KEY_PREFIX, LedgerEntry, entry_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_PAGE = 200
_RUNS_AT_ONCE = 50


def suspended_runs(client: SyncPrefectClient, flow_run_id: str | None = None) -> Iterator[list[FlowRun]]:
    """The runs named Suspended, page by page; or that one, if it is. Raises `LedgerError`."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        FlowRunFilterState,
        FlowRunFilterStateName,
    )
    from prefect.client.schemas.sorting import FlowRunSort

    wanted: dict[str, Any] = {"state": FlowRunFilterState(name=FlowRunFilterStateName(any_=["Suspended"]))}
    if flow_run_id is not None:
        wanted["id"] = FlowRunFilterId(any_=[UUID(flow_run_id)])
    pages: list[list[FlowRun]] = []
    with told_as_ledger_error("read"):
        # All before the first is woken: that one would shift the pages.
        while not pages or len(pages[-1]) == _RUNS_AT_ONCE:
            pages.append(
                client.read_flow_runs(
                    flow_run_filter=FlowRunFilter(**wanted),
                    sort=FlowRunSort.ID_DESC,
                    limit=_RUNS_AT_ONCE,
                    offset=len(pages) * _RUNS_AT_ONCE,
                )
            )
    yield from pages


def records_of_runs(client: SyncPrefectClient, flow_run_ids: Sequence[UUID]) -> dict[str, list[LedgerEntry]]:
    """The newest entry of each wish of these runs, by the id of the run; what cannot be read is left out.

    Raises `LedgerError` where Prefect's API cannot be used.
    """
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    if not flow_run_ids:
        return {}
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(like_=f"{KEY_PREFIX}%"), flow_run_id=ArtifactFilterFlowRunId(any_=list(flow_run_ids))
    )
    found: dict[str, dict[str, LedgerEntry]] = {}
    seen = 0
    with told_as_ledger_error("read"):
        while True:
            page = client.read_artifacts(
                artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC, limit=_PAGE, offset=seen
            )
            for artifact in page:
                try:
                    entry = entry_of(artifact)
                except ConfigurationError:
                    continue
                if entry is not None:
                    found.setdefault(str(artifact.flow_run_id), {}).setdefault(entry.slot, entry)
            seen += len(page)
            if len(page) < _PAGE:
                return {run_id: list(slots.values()) for run_id, slots in found.items()}
