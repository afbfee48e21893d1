"""Waits in this process feel the events of an inbox, where one is named: at the end of a job, not at the next look."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from prefect_planasonix.credentials import PlanasonixCredentials

P = ParamSpec("P")
T = TypeVar("T")

INBOX_VARIABLES = ("PLANASONIX_INBOX_URL", "PLANASONIX_INBOX")
"""The second one is that of the command line `planasonix webhooks`."""


def inbox_url_of_environment() -> str | None:
    """The URL of the inbox that the environment names; None for none."""
    return next(filter(None, (os.environ.get(name, "").strip() for name in INBOX_VARIABLES)), None)


async def woken_by_inbox(
    credentials: PlanasonixCredentials, wait: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Await `wait(*args, **kwargs)`; an event of a run that this event loop waits for makes it look at once meanwhile.

    The API's answer decides, and where there is no inbox, or it is away, the wait polls as ever.
    """
    field = credentials.inbox_url
    url = inbox_url_of_environment() if field is None else field.get_secret_value()
    if url is None:
        return await wait(*args, **kwargs)
    from planasonix.webhooks.listener import InboxListener

    with InboxListener.for_url(url).wake_waiters():
        return await wait(*args, **kwargs)
