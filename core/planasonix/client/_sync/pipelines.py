# Generated from ../_async/pipelines.py by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""Pipelines: look, list, run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planasonix.client._sync.calls import Caller
from planasonix.client.building import body_of, query_of
from planasonix.client.reading import one, page, read_json
from planasonix.client.routes import checked_id
from planasonix.engine import Page
from planasonix.models import Pipeline, PipelineRun, PipelineRunRequestBody


class Pipelines:
    """`client.pipelines`: what runs run. Source: facts §1.4."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def get(self, pipeline_id: str) -> Pipeline:
        """One pipeline with its graph. Raises `NotFoundError`."""
        parameters = {"pipeline_id": checked_id("pipeline_id", pipeline_id)}
        answer = self._caller.call("pipelines.get", parameters, read_json)
        return one(answer, Pipeline, "pipeline")

    def list(
        self,
        *,
        project_id: str | None = None,
        folder_id: str | None = None,
        search: str | None = None,
        status: str | None = None,
        max_pages: int | None = None,
    ) -> Iterator[Pipeline]:
        """All pipelines that match, without their graphs.

        `search` matches the name, `status` is one of `PipelineStatus`. No paging is documented.

            for pipeline in client.pipelines.list(status="active"):
                print(pipeline.id, pipeline.name)
        """

        def fetch(cursor: str | None):
            return self.list_page(
                cursor=cursor, project_id=project_id, folder_id=folder_id, search=search, status=status
            )

        return self._caller.walk(fetch, lambda pipeline: pipeline.id, max_pages)

    def list_page(
        self,
        *,
        cursor: str | None = None,
        project_id: str | None = None,
        folder_id: str | None = None,
        search: str | None = None,
        status: str | None = None,
    ) -> Page[Pipeline]:
        """One page of `list`. No paging is documented here, but a cursor is followed should one come."""
        query = query_of(
            {"projectId": project_id, "folderId": folder_id, "search": search, "status": status, "cursor": cursor}
        )
        answer = self._caller.call("pipelines.list", {}, read_json, query=query)
        return page(answer, Pipeline, "pipelines")

    def run(
        self,
        pipeline_id: str,
        *,
        variables: Mapping[str, Any] | None = None,
        environment_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineRun:
        """Start a run; the run as accepted, usually `queued`.

        `variables` is any JSON object; the client's `run_variables_field` says under which name it is sent.
        `environment_id` defaults to the client's `environment`. `idempotency_key` names this start; without
        one it gets a random key.

        That this start knows keys is documented nowhere. So a try whose answer is lost is not repeated,
        unless the client was told `run_idempotency="honoured"`: the error's `outcome` is "unknown", and a run
        may have been started. Look at `client.runs.list(pipeline_id=...)` before you start another.

            run = client.pipelines.run("pl_01hqxyz", variables={"day": "2025-03-27"})
            run = client.runs.wait(run.id, timeout=3600)
        """
        config = self._caller.config
        body = body_of(
            PipelineRunRequestBody,
            variables=None if variables is None else dict(variables),
            environment_id=config.environment if environment_id is None else environment_id,
            variables_field=config.run_variables_field,
        )
        parameters = {"pipeline_id": checked_id("pipeline_id", pipeline_id)}
        answer = self._caller.call(
            "pipelines.run", parameters, read_json, body=body, idempotency_key=idempotency_key
        )
        return one(answer, PipelineRun, "run")
