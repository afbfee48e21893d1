"""Backfills: look, list, cancel, wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from planasonix.client._async.calls import AsyncCaller
from planasonix.client.building import query_of, seconds_of
from planasonix.client.reading import one, page, read_json
from planasonix.client.routes import checked_id
from planasonix.client.together import AsyncTogether
from planasonix.engine import Page
from planasonix.errors import ConflictError, NotFoundError, NotPublishedError, PlanasonixError
from planasonix.models import Backfill

if TYPE_CHECKING:
    from planasonix.client._async.client import AsyncPlanasonix

# New shards may appear while the known ones are being cancelled; each round reads the record again.
_CANCEL_ROUNDS = 20
_CANCELS_AT_A_TIME = 10


class AsyncBackfills:
    """`client.backfills`: historical loads over a time window. Source: facts §1.1."""

    def __init__(self, client: AsyncPlanasonix, caller: AsyncCaller) -> None:
        self._client = client
        self._caller = caller
        self._together = AsyncTogether(min(_CANCELS_AT_A_TIME, caller.config.max_connections))

    async def get(self, backfill_id: str) -> Backfill:
        """The backfill as it is now, with progress and the ids of its jobs. Raises `NotFoundError`."""
        parameters = {"backfill_id": checked_id("backfill_id", backfill_id)}
        answer = await self._caller.call("backfills.get", parameters, read_json)
        return one(answer, Backfill, "backfill")

    def list(
        self,
        *,
        connection_id: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        max_pages: int | None = None,
    ) -> AsyncIterator[Backfill]:
        """All backfills that match, page after page, each once, in the server's order.

        `limit` is the size of a page (default 50, at most 100), not of the list. Raises `PagingError` when
        the list goes on after `max_pages` pages, or when the server's cursors run in a circle.
        """

        def fetch(cursor: str | None):
            return self.list_page(cursor=cursor, connection_id=connection_id, status=status, limit=limit)

        return self._caller.walk(fetch, lambda backfill: backfill.id, max_pages)

    async def list_page(
        self,
        *,
        cursor: str | None = None,
        connection_id: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> Page[Backfill]:
        """One page of `list`: its `rows`, and the `cursor` of the next one or None."""
        query = query_of({"connection_id": connection_id, "status": status, "limit": limit, "cursor": cursor})
        answer = await self._caller.call("backfills.list", {}, read_json, query=query)
        return page(answer, Backfill, "backfills")

    async def cancel(self, backfill_id: str) -> Backfill:
        """Ask all jobs of the backfill to stop; the record read last.

        No path to cancel a backfill is published (facts §1.1), so its jobs are cancelled one by one, until
        a fresh read shows none that was not asked. If your tenant has a path, name it:
        `routes={"backfills.cancel": "POST /..."}`.

        Up to ten jobs are asked at a time, and one that cannot be cancelled stops none of the others. That the
        server does not know it, or refuses because of its state (404, 409), is no failure if the job or the
        whole backfill turns out to have ended.

        Raises the first failure when all jobs were asked, and `NotPublishedError` if the backfill runs without
        any job to cancel, or if the named path does not exist.
        """
        backfill_id = checked_id("backfill_id", backfill_id)
        if "backfills.cancel" in self._caller.config.routes:
            return await self._cancel_by_route(backfill_id)
        asked: dict[str, PlanasonixError | None] = {}
        backfill = await self.get(backfill_id)
        for _ in range(_CANCEL_ROUNDS):
            fresh = [job_id for job_id in dict.fromkeys(backfill.job_ids or ()) if job_id not in asked]
            if backfill.is_terminal or not fresh:
                break
            failures = await self._together.run([partial(self._ask_to_stop, job_id) for job_id in fresh])
            asked.update(zip(fresh, failures, strict=True))
            backfill = await self.get(backfill_id)
        if backfill.is_terminal:
            return backfill
        if not asked:
            raise _not_cancellable(backfill_id)
        failed = {job_id: error for job_id, error in asked.items() if error is not None}
        still = await self._together.run([partial(self._still_runs, *item) for item in failed.items()])
        running = [job_id for job_id, runs in zip(failed, still, strict=True) if runs]
        if running:
            raise _with_jobs(failed[running[0]], running, len(asked))
        return backfill

    async def _ask_to_stop(self, job_id: str) -> PlanasonixError | None:
        """The failure of the cancel, None if it went well."""
        try:
            await self._client.jobs.cancel(job_id)
        except PlanasonixError as error:
            return error
        return None

    async def _still_runs(self, job_id: str, error: PlanasonixError) -> bool:
        """Whether the failure of a job's cancel is one: False if the job turns out to have ended."""
        if not isinstance(error, NotFoundError | ConflictError):
            return True
        try:
            return not (await self._client.jobs.get(job_id)).is_terminal
        except PlanasonixError:
            return True

    async def _cancel_by_route(self, backfill_id: str) -> Backfill:
        try:
            answer = await self._caller.call("backfills.cancel", {"backfill_id": backfill_id}, read_json)
        except NotFoundError:
            # Either the path or the backfill is missing: the GET tells which.
            await self.get(backfill_id)
            raise _not_cancellable(backfill_id) from None
        return one(answer, Backfill, "backfill")

    async def wait(self, backfill_id: str, *, timeout: float | timedelta | None = None) -> Backfill:
        """Wait until the backfill has ended well, and return it.

        `timeout` in seconds (or a timedelta); None waits for as long as it takes. Raises `RunFailedError`,
        `RunCancelledError`, or `WaitTimeoutError`, which leaves the backfill running.
        """
        from planasonix.watch import wait_shared

        # `watch` sees clients through protocols of its own, since it is the lower layer.
        client: Any = self._client
        backfill_id = checked_id("backfill_id", backfill_id)
        run = await wait_shared(client, "backfill", backfill_id, timeout_seconds=seconds_of(timeout))
        return cast("Backfill", run)


def _with_jobs(error: PlanasonixError, running: Sequence[str], asked: int) -> PlanasonixError:
    """The error, with a hint that says which jobs it leaves running."""
    shown = ", ".join(running[:5]) + (", ..." if len(running) > 5 else "")
    told = f"{len(running)} of the backfill's {asked} jobs could not be asked to stop: {shown}."
    if len(running) < asked:
        told += " The others were, or had ended."
    error.hint = " ".join(filter(None, (error.hint, told)))
    return error


def _not_cancellable(backfill_id: str) -> NotPublishedError:
    return NotPublishedError(
        f"backfill {backfill_id} cannot be cancelled as a whole, and has no jobs that could be cancelled",
        setting="routes['backfills.cancel']",
        operation="backfills.cancel",
        hint="Try again when it has started a job, or name your tenant's path in routes['backfills.cancel'].",
    )
