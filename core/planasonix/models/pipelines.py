"""Pipelines: what a run runs. Public page "pipelines", facts §1.4; the wire is camelCase."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from planasonix.models.base import WireModel
from planasonix.models.enums import PipelineStatus
from planasonix.models.scalars import Id, Timestamp


class PipelineNode(WireModel):
    """A node of a pipeline's graph. What `config` holds depends on the type, so it is not part of the repr."""

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"id": ("node_id",)}

    id: Id
    type: str | None = None
    config: dict[str, Any] | None = Field(default=None, repr=False)


class PipelineEdge(WireModel):
    """From which node to which data flows."""

    id: str | None = None
    source: str | None = None
    target: str | None = None


class Pipeline(WireModel):
    """A pipeline. A list row has no graph; the backend's has its two connections instead of a project."""

    other_names: ClassVar[Mapping[str, Sequence[str]]] = {"id": ("pipeline_id",)}

    id: Id
    name: str | None = None
    project_id: str | None = Field(default=None, alias="projectId")
    folder_id: str | None = Field(default=None, alias="folderId")
    status: PipelineStatus | None = None
    nodes: list[PipelineNode] = Field(default=[])
    edges: list[PipelineEdge] = Field(default=[])
    source_connection_id: str | None = Field(default=None, alias="sourceConnectionId")
    dest_connection_id: str | None = Field(default=None, alias="destConnectionId")
    created_at: Timestamp | None = Field(default=None, alias="createdAt")
    updated_at: Timestamp | None = Field(default=None, alias="updatedAt")
