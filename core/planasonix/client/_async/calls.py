"""Runs one operation through the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from typing import TypeVar

from planasonix.client.building import build
from planasonix.client.config import ClientConfig
from planasonix.client.fetching import AsyncFetch
from planasonix.client.listening import listener
from planasonix.client.shared import AsyncShared
from planasonix.engine import Answer, Deadline, PageWalk, Reply, adrive, call

T = TypeVar("T")


class AsyncCaller:
    """What the resources of a client have in common: its settings, its connections and its budgets."""

    def __init__(self, config: ClientConfig, shared: AsyncShared) -> None:
        self.config = config
        self.shared = shared
        self._listen = listener(config.on_event)

    async def call(
        self,
        operation: str,
        parameters: Mapping[str, str],
        read: Callable[[Reply], T],
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        idempotency_key: str | None = None,
        retry_unknown: bool = True,
    ) -> Answer[T]:
        """Make the call within the client's deadline, and read its answer."""
        config, shared = self.config, self.shared
        request, policy = build(
            config,
            operation,
            parameters,
            query=query,
            body=body,
            idempotency_key=idempotency_key,
            retry_unknown=retry_unknown,
        )
        steps = call(
            request,
            read,
            policy=policy,
            deadline=Deadline.after(config.deadline_seconds, config.clock),
            pacer=shared.pacer,
            clock=config.clock,
            rng=config.rng,
            budget=shared.budget,
            secrets=(config.api_key.reveal(),),
        )
        answer = await adrive(steps, shared.transport, config.clock, self._listen)
        shared.server_clock.note(answer.reply.headers, config.clock.time())
        return answer

    async def walk(
        self, fetch: AsyncFetch[T], row_id: Callable[[T], Hashable | None], max_pages: int | None
    ) -> AsyncIterator[T]:
        """The rows of all pages, each once."""
        walk = PageWalk[T](row_id=row_id, max_pages=max_pages)
        while walk.advance():
            page = await fetch(walk.cursor)
            for row in walk.take(page.rows, page.cursor):
                yield row
