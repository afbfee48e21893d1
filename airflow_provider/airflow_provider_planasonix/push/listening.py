"""The one line by which a triggerer's waits feel events: they are woken through the inbox, and poll as before."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_planasonix.push import options
from airflow_provider_planasonix.push.sweeping import begin_to_sweep
from planasonix.errors import redact

if TYPE_CHECKING:
    from planasonix.webhooks import InboxListener
    from planasonix.webhooks.listener import Subscription

log = logging.getLogger(__name__)

_begun: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Subscription | None]] = WeakKeyDictionary()


async def feel_events() -> None:
    """From now on an event wakes whoever waits for its run in this event loop; and somebody sweeps.

    Costs nothing after the first call, and nothing at all without an inbox. Never raises: without push there is
    still the polling.
    """
    loop = asyncio.get_running_loop()
    if loop not in _begun:
        # A task of its own: the wait that comes first may be ended by its user, and the others wait on.
        _begun[loop] = loop.create_task(_begin())
    # Not awaited where the task itself is: asgiref changes a cancel that it hands on, and Airflow's says who cancelled.
    await asyncio.wait([_begun[loop]])


async def _begin() -> Subscription | None:
    try:
        url = await asyncio.to_thread(inbox_url_of_process)
        if url is None:
            return None
        listener = await asyncio.to_thread(_listener, url)
        subscription = listener.wake_waiters()
        await begin_to_sweep(url)
        return subscription
    except Exception as error:
        log.warning("no push, only polling: %s", redact(repr(error)))
        return None


@cache
def inbox_url_of_process() -> str | None:
    """Read once in a process: it may be the output of a command."""
    return options.inbox_url()


def _listener(url: str) -> InboxListener:
    from planasonix.webhooks import InboxListener

    return InboxListener.for_url(url)
