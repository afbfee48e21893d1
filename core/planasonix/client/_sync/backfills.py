# Generated from ../_async/backfills.py by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""Backfills: look, list, cancel, wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from planasonix.client._sync.calls import Caller
from planasonix.client.building import query_of, seconds_of
from planasonix.client.reading import one, page, read_json
from planasonix.client.routes import checked_id
from planasonix.engine import Page
from planasonix.errors import NotFoundError, NotPublishedError
from planasonix.models import Backfill

if TYPE_CHECKING:
    from planasonix.client._sync.client import Planasonix

# New shards may appear while the known ones are being cancelled; each round reads the record again.
_CANCEL_ROUNDS = 20


class Backfills:
    """`client.backfills`: historical loads over a time window. Source: facts §1.1."""

    def __init__(self, client: Planasonix, caller: Caller) -> None:
        self._client = client
        self._caller = caller

    def get(self, backfill_id: str) -> Backfill:
        """The backfill as it is now, with progress and the ids of its jobs. Raises `NotFoundError`."""
        parameters = {"backfill_id": checked_id("backfill_id", backfill_id)}
        answer = self._caller.call("backfills.get", parameters, read_json)
        return one(answer, Backfill, "backfill")

    def list(
        self,
        *,
        connection_id: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        max_pages: int | None = None,
    ) -> Iterator[Backfill]:
        """All backfills that match, page after page, each once, in the server's order.

        `limit` is the size of a page (default 50, at most 100), not of the list. Raises `PagingError` when
        the list goes on after `max_pages` pages, or when the server's cursors run in a circle.
        """

        def fetch(cursor: str | None):
            return self.list_page(cursor=cursor, connection_id=connection_id, status=status, limit=limit)

        return self._caller.walk(fetch, lambda backfill: backfill.id, max_pages)

    def list_page(
        self,
        *,
        cursor: str | None = None,
        connection_id: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> Page[Backfill]:
        """One page of `list`: its `rows`, and the `cursor` of the next one or None."""
        query = query_of({"connection_id": connection_id, "status": status, "limit": limit, "cursor": cursor})
        answer = self._caller.call("backfills.list", {}, read_json, query=query)
        return page(answer, Backfill, "backfills")

    def cancel(self, backfill_id: str) -> Backfill:
        """Ask all jobs of the backfill to stop; the record read last.

        No path to cancel a backfill is published (facts §1.1), so its jobs are cancelled one by one, until
        a fresh read shows none that was not asked. If your tenant has a path, name it:
        `routes={"backfills.cancel": "POST /..."}`.

        Raises `NotPublishedError` if the backfill runs without any job to cancel, or if the named path does
        not exist.
        """
        backfill_id = checked_id("backfill_id", backfill_id)
        if "backfills.cancel" in self._caller.config.routes:
            return self._cancel_by_route(backfill_id)
        asked: set[str] = set()
        backfill = self.get(backfill_id)
        for _ in range(_CANCEL_ROUNDS):
            fresh = [job_id for job_id in backfill.job_ids or () if job_id not in asked]
            if backfill.is_terminal or not fresh:
                break
            for job_id in fresh:
                self._client.jobs.cancel(job_id)
            asked.update(fresh)
            backfill = self.get(backfill_id)
        if not asked and not backfill.is_terminal:
            raise _not_cancellable(backfill_id)
        return backfill

    def _cancel_by_route(self, backfill_id: str) -> Backfill:
        try:
            answer = self._caller.call("backfills.cancel", {"backfill_id": backfill_id}, read_json)
        except NotFoundError:
            # Either the path or the backfill is missing: the GET tells which.
            self.get(backfill_id)
            raise _not_cancellable(backfill_id) from None
        return one(answer, Backfill, "backfill")

    def wait(self, backfill_id: str, *, timeout: float | timedelta | None = None) -> Backfill:
        """Wait until the backfill has ended well, and return it.

        `timeout` in seconds (or a timedelta); None waits for as long as it takes. Raises `RunFailedError`,
        `RunCancelledError`, or `WaitTimeoutError`, which leaves the backfill running.
        """
        from planasonix.watch import wait_blocking

        # `watch` sees clients through protocols of its own, since it is the lower layer.
        client: Any = self._client
        backfill_id = checked_id("backfill_id", backfill_id)
        run = wait_blocking(client, "backfill", backfill_id, timeout_seconds=seconds_of(timeout))
        return cast("Backfill", run)


def _not_cancellable(backfill_id: str) -> NotPublishedError:
    return NotPublishedError(
        f"backfill {backfill_id} cannot be cancelled as a whole, and has no jobs that could be cancelled",
        setting="routes['backfills.cancel']",
        operation="backfills.cancel",
        hint="Try again when it has started a job, or name your tenant's path in routes['backfills.cancel'].",
    )
