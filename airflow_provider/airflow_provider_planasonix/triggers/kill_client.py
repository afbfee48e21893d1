"""One client for the kills that come together: a run that is marked failed ends all its triggers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_planasonix.triggers.lines import LogLines
from airflow_provider_planasonix.triggers.patience import client_with_patience

if TYPE_CHECKING:
    from planasonix import AsyncPlanasonix

AT_A_TIME = 200
"""Kills with a turn: each makes a call or two, and a backfill's waits some seconds between them. More would stand
before the client's connections until their calls' time is up.
"""


class _Lent:
    """A client and its users; made by the first of them, closed with the last."""

    def __init__(self, planasonix_conn_id: str, lines: LogLines) -> None:
        self.users = 0
        self.turns = asyncio.Semaphore(AT_A_TIME)
        self.client = asyncio.create_task(client_with_patience(planasonix_conn_id, lines))


_lent: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Lent]] = WeakKeyDictionary()


@asynccontextmanager
async def lent_client(planasonix_conn_id: str, lines: LogLines) -> AsyncIterator[AsyncPlanasonix]:
    """The connection's client, with a turn to use it.

    Airflow's supervisor looks up about two connections a second, and building a client holds up the event loop: with
    one each, hundreds of kills would neither end in time nor let the other triggers breathe. A look-up that fails is
    repeated for five minutes, as for a wait; then its error is raised to all who wait for it.
    """
    of_loop = _lent.setdefault(asyncio.get_running_loop(), {})
    lent = of_loop.get(planasonix_conn_id)
    if lent is None:
        lent = of_loop[planasonix_conn_id] = _Lent(planasonix_conn_id, lines)
    lent.users += 1
    try:
        # Whoever waits no longer must not take the client from the others.
        client = await asyncio.shield(lent.client)
        async with lent.turns:
            yield client
    finally:
        lent.users -= 1
        failed = lent.client.done() and (lent.client.cancelled() or lent.client.exception() is not None)
        if not lent.users or failed:
            # Whoever comes now makes a new one.
            if of_loop.get(planasonix_conn_id) is lent:
                del of_loop[planasonix_conn_id]
            if not lent.users:
                await _close(lent)


async def _close(lent: _Lent) -> None:
    if not lent.client.done():
        lent.client.cancel()
    elif not lent.client.cancelled() and lent.client.exception() is None:
        await lent.client.result().aclose()
