"""Runs one operation through the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from typing import TypeVar

from planasonix.client.building import build
from planasonix.client.config import ClientConfig
from planasonix.client.fetching import AsyncFetch
from planasonix.client.listening import listener
from planasonix.client.secret import Secret
from planasonix.client.shared import AsyncShared
from planasonix.engine import Answer, Deadline, PageWalk, Policy, Reply, Request, adrive, call
from planasonix.errors import AuthenticationError, PermissionDeniedError, PlanasonixError

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
        request, policy = build(
            self.config,
            operation,
            parameters,
            query=query,
            body=body,
            idempotency_key=idempotency_key,
            retry_unknown=retry_unknown,
        )
        deadline = Deadline.after(self.config.deadline_seconds, self.config.clock)
        key = self.config.api_key.in_force
        try:
            return await self._call_once(request, read, policy, deadline)
        except (AuthenticationError, PermissionDeniedError) as error:
            refusal = error
        # A start that may have had its effect before the refusal is not sent with another key: whether the server
        # knows its idempotency key again, then, nobody has said.
        if refusal.outcome != "refused" or not await self._key_was_replaced(key, deadline):
            raise refusal
        try:
            return await self._call_once(request, read, policy, deadline)
        except PlanasonixError as error:
            raise error.with_attempts([*refusal.attempts, *error.attempts]) from None

    async def _call_once(
        self, request: Request, read: Callable[[Reply], T], policy: Policy, deadline: Deadline
    ) -> Answer[T]:
        config, shared = self.config, self.shared
        shared.follow(config)
        steps = call(
            request,
            read,
            policy=policy,
            deadline=deadline,
            pacer=shared.pacer,
            clock=config.clock,
            rng=config.rng,
            budget=shared.budget,
            secrets=config.api_key.to_mask,
        )
        answer = await adrive(steps, shared.transport, config.clock, self._listen)
        shared.server_clock.note(answer.reply.headers, config.clock.time())
        return answer

    async def _key_was_replaced(self, refused: Secret, deadline: Deadline) -> bool:
        clock = self.config.clock
        if not await self.config.api_key.areplaced(refused, clock, deadline.remaining(clock.monotonic())):
            return False
        return deadline.remaining(clock.monotonic()) > 0.0

    async def walk(
        self, fetch: AsyncFetch[T], row_id: Callable[[T], Hashable | None], max_pages: int | None
    ) -> AsyncIterator[T]:
        """The rows of all pages, each once."""
        walk = PageWalk[T](row_id=row_id, max_pages=max_pages)
        while walk.advance():
            page = await fetch(walk.cursor)
            for row in walk.take(page.rows, page.cursor):
                yield row
