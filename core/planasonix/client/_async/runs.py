"""Runs of pipelines: look, list, read nodes and logs, cancel, wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from planasonix.client._async.calls import AsyncCaller
from planasonix.client.building import query_of, seconds_of
from planasonix.client.reading import one, page, read_json, read_log
from planasonix.client.routes import checked_id
from planasonix.engine import Page
from planasonix.errors import ConflictError, InvalidRequestError
from planasonix.models import PipelineRun, RunLogs, RunNodes

if TYPE_CHECKING:
    from planasonix.client._async.client import AsyncPlanasonix


class AsyncRuns:
    """`client.runs`: the runs of pipelines. Source: facts §1.4."""

    def __init__(self, client: AsyncPlanasonix, caller: AsyncCaller) -> None:
        self._client = client
        self._caller = caller

    async def get(self, run_id: str) -> PipelineRun:
        """The run as it is now.

        Raises `NotFoundError` for an unknown id, or one of another organization.

            run = await client.runs.get("run_01j8k2m4")
            print(run.status, run.rows_written)
        """
        parameters = {"run_id": checked_id("run_id", run_id)}
        answer = await self._caller.call("runs.get", parameters, read_json)
        return one(answer, PipelineRun, "run")

    def list(
        self,
        *,
        pipeline_id: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        max_pages: int | None = None,
    ) -> AsyncIterator[PipelineRun]:
        """All runs that match, page after page, each once, in the server's order.

        `since` and `until` (the API's `from` and `to`) must be aware. Which time they bound is not documented;
        rows show no other than that of the start, so a run that is still queued may be left out. `limit` is
        the size of a page, not of the list. Raises `PagingError` when the list goes on after `max_pages`
        pages, or when the server's cursors run in a circle.

            async for run in client.runs.list(pipeline_id="pl_01hqxyz", status="succeeded"):
                print(run.id, run.duration_seconds)
        """

        def fetch(cursor: str | None):
            return self.list_page(
                cursor=cursor, pipeline_id=pipeline_id, status=status, since=since, until=until, limit=limit
            )

        return self._caller.walk(fetch, lambda run: run.id, max_pages)

    async def list_page(
        self,
        *,
        cursor: str | None = None,
        pipeline_id: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Page[PipelineRun]:
        """One page of `list`: its `rows`, and the `cursor` of the next one or None."""
        query = query_of(
            {
                "pipelineId": pipeline_id,
                "status": status,
                "from": since,
                "to": until,
                "limit": limit,
                "cursor": cursor,
            }
        )
        answer = await self._caller.call("runs.list", {}, read_json, query=query)
        return page(answer, PipelineRun, "runs")

    async def nodes(self, run_id: str) -> RunNodes:
        """What became of each node of the pipeline in this run.

        A node's `metrics` are its own: a source has `rowsOut`, a sink `rowsIn`. Raises `NotFoundError`.

            nodes = await client.runs.nodes("run_01j8k2m4")
            print({node.node_id: node.status for node in nodes.nodes})
        """
        parameters = {"run_id": checked_id("run_id", run_id)}
        answer = await self._caller.call("runs.nodes", parameters, read_json)
        return one(answer, RunNodes)

    async def logs(
        self,
        run_id: str,
        *,
        node_id: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
    ) -> RunLogs:
        """A part of the run's log: of one node or of all, from `since` (aware), or from where `cursor` points.

        `next_cursor` of the answer is where the next part begins; how it is sent is not documented, `cursor`
        is taken from the lists. A server may answer with plain text, which becomes lines, or with an address,
        which becomes `url`.

            logs = await client.runs.logs("run_01j8k2m4", node_id="n_source")
            print([line.message for line in logs.lines])
        """
        parameters = {"run_id": checked_id("run_id", run_id)}
        query = query_of({"nodeId": node_id, "since": since, "cursor": cursor})
        answer = await self._caller.call("runs.logs", parameters, read_log, query=query)
        return one(answer, RunLogs)

    async def cancel(self, run_id: str) -> PipelineRun:
        """Ask the run to stop; its state right after (`cancel_requested`, or how it ended if it has).

        Cooperative: workers go on to their next safe point. Asking twice does no harm: the server refuses to
        cancel what has ended (409 or 400, facts §4.2, C16), so after a refusal the run is read, and returned
        if it has ended or is stopping.
        """
        parameters = {"run_id": checked_id("run_id", run_id)}
        try:
            answer = await self._caller.call("runs.cancel", parameters, read_json)
        except (ConflictError, InvalidRequestError):
            run = await self.get(run_id)
            if run.phase == "active":
                raise
            return run
        return one(answer, PipelineRun, "run")

    async def wait(self, run_id: str, *, timeout: float | timedelta | None = None) -> PipelineRun:
        """Wait until the run has ended well, and return it.

        `timeout` in seconds (or a timedelta); None waits for as long as it takes. Raises `RunFailedError`,
        `RunCancelledError`, or `WaitTimeoutError`, which leaves the run going.

            run = await client.runs.wait("run_01j8k2m4", timeout=3600)
        """
        from planasonix.watch import wait_shared

        # `watch` sees clients through protocols of its own, since it is the lower layer.
        client: Any = self._client
        run_id = checked_id("run_id", run_id)
        run = await wait_shared(client, "run", run_id, timeout_seconds=seconds_of(timeout))
        return cast("PipelineRun", run)
