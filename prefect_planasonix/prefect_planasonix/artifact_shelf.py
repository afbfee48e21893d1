"""Where the artifacts of one run of Planasonix are kept: written once, then updated in place."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from prefect_planasonix.artifacts import ROLES, ArtifactToShow, artifact_key
from prefect_planasonix.client_share import ClientShare

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

_FOUND_AT_MOST = 100


@dataclass
class _Shown:
    """An artifact as the server has it; without an id, one that is to be written."""

    data: Any
    description: str
    id: UUID | None = None


_Place = tuple[UUID | None, str]
_shown: OrderedDict[_Place, dict[str, _Shown]] = OrderedDict()
"""What this process has shown or found: the wait for a run that it has started itself asks for nothing."""
_KEPT = 2_000


def _remember(place: _Place, known: dict[str, _Shown]) -> None:
    if place[0] is None:
        return
    _shown[place] = known
    _shown.move_to_end(place)
    while len(_shown) > _KEPT:
        _shown.popitem(last=False)


class ArtifactShelf:
    """The artifacts that this flow run, or task run outside any flow, has of one run of Planasonix.

    `name` is what their descriptions begin with (see `artifacts.run_name`). Where the run may have been told of by an
    earlier process of the same flow run, `is_new` is False, and its artifacts are looked for before the first write:
    after a retry or a resume they are updated, not written again.
    """

    def __init__(self, target_id: str, name: str, *, flow_run_id: UUID | None, is_new: bool) -> None:
        self._keys = [artifact_key(role, target_id) for role in ROLES]
        self._name = name
        self._flow_run_id = flow_run_id
        self._place = (flow_run_id, name)
        self._known: dict[str, _Shown] | None = {} if is_new or flow_run_id is None else _shown.get(self._place)
        if self._known is not None:
            _remember(self._place, self._known)
        self._lock = asyncio.Lock()
        self._share = ClientShare()

    async def put(self, artifact: ArtifactToShow) -> None:
        """Write it, or update it where it is there already; nothing where it is shown as it is.

        Belongs into the context of the run that it is shown for. Raises what Prefect's client raises.
        """
        new = _Shown(_on_the_wire(artifact), artifact.description)
        if self._known is not None and _is_shown(new, self._known.get(artifact.key)):
            return
        async with self._share.client() as client:
            known = await self._look(client)
            old = known.get(artifact.key)
            if _is_shown(new, old):
                return
            if old is None:
                new.id = await _create(client, artifact)
            else:
                new.id, new.data = old.id, old.data if new.data is None else new.data
                await _update(client, new)
            known[artifact.key] = new

    async def aclose(self) -> None:
        """Give the client back; nothing is written afterwards."""
        await self._share.aclose()

    async def _look(self, client: PrefectClient) -> dict[str, _Shown]:
        async with self._lock:
            if self._known is None:
                self._known = await self._find(client)
                _remember(self._place, self._known)
            return self._known

    async def _find(self, client: PrefectClient) -> dict[str, _Shown]:
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
        from prefect.client.schemas.sorting import ArtifactSort

        of_flow_run = ArtifactFilterFlowRunId(any_=[] if self._flow_run_id is None else [self._flow_run_id])
        wanted = ArtifactFilter(flow_run_id=of_flow_run, key=ArtifactFilterKey(any_=self._keys))
        found = await client.read_artifacts(
            artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC, limit=_FOUND_AT_MOST
        )
        ours = [each for each in found if each.key and _is_of(each.description, self._name)]
        # The newest of each key comes first.
        return {str(each.key): _Shown(each.data, str(each.description), each.id) for each in reversed(ours)}


def _is_of(description: str | None, name: str) -> bool:
    # After the name no letter: the run job_1 is not the run job_12.
    return description is not None and description.startswith((f"{name}:", f"{name}.", f"{name},"))


def _is_shown(new: _Shown, old: _Shown | None) -> bool:
    return old is not None and new.data in (None, old.data) and new.description == old.description


def _on_the_wire(artifact: ArtifactToShow) -> Any:
    """A table goes as the text that `TableArtifact` makes of it."""
    return json.dumps(artifact.data) if artifact.type == "table" else artifact.data


async def _create(client: PrefectClient, artifact: ArtifactToShow) -> UUID:
    from prefect.artifacts import MarkdownArtifact, ProgressArtifact, TableArtifact

    named: dict[str, Any] = {"key": artifact.key, "description": artifact.description}
    if artifact.type == "table":
        made: Any = TableArtifact(table=artifact.data, **named)
    elif artifact.type == "progress":
        made = ProgressArtifact(progress=artifact.data or 0.0, **named)
    else:
        made = MarkdownArtifact(markdown=artifact.data, **named)
    return (await made.acreate(client)).id


async def _update(client: PrefectClient, shown: _Shown) -> None:
    from prefect.client.schemas.actions import ArtifactUpdate

    update = ArtifactUpdate(data=shown.data, description=shown.description)
    await client.update_artifact(cast("UUID", shown.id), update)
