"""Waits of a step that end with an event instead of the next poll."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def woken_by(inbox_url: str | None) -> Iterator[None]:
    """Meanwhile each wait of this process for a job looks at it as soon as the inbox has an event of it.

    Without an inbox, or while it is away (one warning in the process's log), polls go on as they are.
    """
    if inbox_url is None:
        yield
        return
    from planasonix.webhooks import InboxListener

    with InboxListener.for_url(inbox_url).wake_threads():
        yield
