"""One client of Prefect's API for all that an event loop tells of its runs.

A flow may wait for a thousand runs: a client each would cost a thousand connections, and as many TLS contexts, each of
which is made on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

_AT_ONCE = 8
"""How many calls of one loop are under way: the server has to answer those of Prefect's own engine as well."""


@dataclass
class _Shared:
    """A client, and how many hold it."""

    client: Any = None
    holders: int = 0
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


class ClientShare:
    """One holder's share in the client of the running loop. It is opened by the first call of any holder, and closed
    when the last one gives its share back.
    """

    def __init__(self) -> None:
        self._held: _Shared | None = None
        self._address = ""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[PrefectClient]:
        """The client, for one call. Waits while too many other calls are under way."""
        from prefect.client.orchestration import get_client

        held = self._hold()
        async with held.room:
            async with held.opening:
                if held.client is None:
                    held.client = await held.stack.enter_async_context(get_client())
            yield held.client

    async def aclose(self) -> None:
        """Give the share back; may be called twice."""
        held, self._held = self._held, None
        if held is None:
            return
        held.holders -= 1
        if held.holders == 0:
            # Whoever comes while it is being closed opens another one.
            of_loop = _shared.get(asyncio.get_running_loop(), {})
            if of_loop.get(self._address) is held:
                del of_loop[self._address]
            await held.stack.aclose()

    def _hold(self) -> _Shared:
        if self._held is None:
            from prefect.settings import get_current_settings

            self._address = str(get_current_settings().api.url)
            self._held = _shared.setdefault(asyncio.get_running_loop(), {}).setdefault(self._address, _Shared())
            self._held.holders += 1
        return self._held
