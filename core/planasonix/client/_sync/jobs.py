# Generated from ../_async/jobs.py by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""Jobs: look, list, read results, cancel, wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from planasonix.client._sync.calls import Caller
from planasonix.client.building import query_of, seconds_of
from planasonix.client.reading import one, page, read_json
from planasonix.client.routes import checked_id
from planasonix.engine import Page
from planasonix.models import Job, JobResults

if TYPE_CHECKING:
    from planasonix.client._sync.client import Planasonix


class Jobs:
    """`client.jobs`: the discrete executions. Source: facts §1.1."""

    def __init__(self, client: Planasonix, caller: Caller) -> None:
        self._client = client
        self._caller = caller

    def get(self, job_id: str) -> Job:
        """The job as it is now.

        Raises `NotFoundError` for an unknown id, or one of another organization.

            job = client.jobs.get("job_01jq8syncabc")
            print(job.status, job.is_terminal)
        """
        parameters = {"job_id": checked_id("job_id", job_id)}
        answer = self._caller.call("jobs.get", parameters, read_json)
        return one(answer, Job, "job")

    def list(
        self,
        *,
        connection_id: str | None = None,
        pipeline_id: str | None = None,
        type: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        max_pages: int | None = None,
    ) -> Iterator[Job]:
        """All jobs that match, page after page, each once, in the server's order.

        `since` and `until` bound `created_at` and must be aware. `limit` is the size of a page (the
        server's default is 50), not of the list. Rows have fewer fields than `get` returns. Raises
        `PagingError` when the list goes on after `max_pages` pages, or when the server's cursors run in a
        circle.

            for job in client.jobs.list(status="running"):
                print(job.id)
        """

        def fetch(cursor: str | None):
            return self.list_page(
                cursor=cursor,
                connection_id=connection_id,
                pipeline_id=pipeline_id,
                type=type,
                status=status,
                since=since,
                until=until,
                limit=limit,
            )

        return self._caller.walk(fetch, lambda job: job.id, max_pages)

    def list_page(
        self,
        *,
        cursor: str | None = None,
        connection_id: str | None = None,
        pipeline_id: str | None = None,
        type: str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Page[Job]:
        """One page of `list`: its `rows`, and the `cursor` of the next one or None."""
        query = query_of(
            {
                "connection_id": connection_id,
                "pipeline_id": pipeline_id,
                "type": type,
                "status": status,
                "since": since,
                "until": until,
                "limit": limit,
                "cursor": cursor,
            }
        )
        answer = self._caller.call("jobs.list", {}, read_json, query=query)
        return page(answer, Job, "jobs")

    def results(self, job_id: str) -> JobResults:
        """Rows and checksum of each loaded table, and the warnings, of a job that has ended.

        Before that the server answers with a stub, or with 409, which raises `ConflictError`: "not yet".

            results = client.jobs.results("job_01jq8syncabc")
            print({table.name: table.rows_loaded for table in results.tables})
        """
        parameters = {"job_id": checked_id("job_id", job_id)}
        answer = self._caller.call("jobs.results", parameters, read_json)
        return one(answer, JobResults, "results")

    def cancel(self, job_id: str) -> Job:
        """Ask the job to stop; its state right after (`cancelling`, or how it ended if it has).

        Cooperative: some sources finish the current batch first. Asking twice does no harm.
        """
        parameters = {"job_id": checked_id("job_id", job_id)}
        answer = self._caller.call("jobs.cancel", parameters, read_json)
        return one(answer, Job, "job")

    def wait(self, job_id: str, *, timeout: float | timedelta | None = None) -> Job:
        """Wait until the job has ended well, and return it.

        `timeout` in seconds (or a timedelta); None waits for as long as it takes. Raises `RunFailedError`,
        `RunCancelledError`, or `WaitTimeoutError`, which leaves the job running.

            job = client.jobs.wait("job_01jq8syncabc", timeout=3600)
        """
        from planasonix.watch import wait_blocking

        # `watch` sees clients through protocols of its own, since it is the lower layer.
        client: Any = self._client
        job_id = checked_id("job_id", job_id)
        run = wait_blocking(client, "job", job_id, timeout_seconds=seconds_of(timeout))
        return cast("Job", run)
