"""One look at the runs of many connections: list what is new, read what has ended, tell each end once.

A look has a time limit, because orchestrators kill one that takes too long, and what it did is lost then. Whatever it
does not get to, the next look goes on with: connections take turns, and the ends of one are told in the order of their
creation. One run that cannot be told holds up none of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from planasonix.runs.drivers import Log
from planasonix.runs.polled.cursor import OpenRun, PollCursor, RunKey
from planasonix.runs.polled.find import list_all
from planasonix.runs.polled.listener import Listener
from planasonix.runs.polled.look import Look, Polled
from planasonix.runs.polled.tell import tell_all

if TYPE_CHECKING:
    from planasonix.client import Planasonix

OVERLAP_SECONDS = 300.0
"""How late a list may show a run and it is still seen."""
FIRST_LOOK_BACK_SECONDS = 86_400.0
"""How old a run may be that goes on when its connection is first looked at, and is waited for."""
_CALL_SECONDS = 10.0


def poll_runs(
    client: Planasonix,
    cursor: PollCursor,
    connection_ids: Iterable[str],
    listener: Listener,
    *,
    log: Log,
    seconds: float = 40.0,
    overlap_seconds: float = OVERLAP_SECONDS,
    first_look_back_seconds: float = FIRST_LOOK_BACK_SECONDS,
    open_at_first: Mapping[str, Mapping[RunKey, OpenRun]] | None = None,
    now: Callable[[], float] = time.time,
) -> Polled:
    """Look once, for about `seconds` at most, and tell the listener of each run that ended; moves the cursor on.

    What had ended before a connection was first looked at is history, and not told. `overlap_seconds` is how late lists
    may show a run, `first_look_back_seconds` how far back the first look searches for runs that go on. `open_at_first`
    are runs of connections that were never looked at, of which the caller knows that they are to be told: however old.

    Raises the API's error where no list could be read, and `AuthenticationError` where one was refused: nothing was
    told then. Other errors leave the rest to the next look, and are in `Polled.calls_failed`.

    >>> from planasonix import Planasonix
    >>> from planasonix.runs import Interest, PollCursor, poll_runs
    >>> from planasonix.sandbox import Sandbox
    >>> class Printer:
    ...     def sees(self, connection_id, kind, run):
    ...         return Interest()
    ...
    ...     def ended(self, connection_id, kind, run):
    ...         print(connection_id, kind, run.status)
    ...
    ...     def overdue(self, connection_id, kind, run): ...
    ...     def given_up(self, connection_id, kind, run_id, why, created_at): ...
    >>> sandbox = Sandbox(speed=0)
    >>> client = Planasonix("plnx_live_sandbox", transport=sandbox.transport())
    >>> cursor = PollCursor.from_text(None)
    >>> job = client.connections.sync("conn_shop_orders")
    >>> for _ in range(2):
    ...     _ = poll_runs(client, cursor, ["conn_shop_orders"], Printer(), log=lambda level, text: None)
    ...     sandbox.advance(60)
    conn_shop_orders job succeeded
    """
    looking = client.with_options(max_tries=2, deadline_seconds=_CALL_SECONDS)
    look = Look(looking, cursor, listener, log, seconds, overlap_seconds, first_look_back_seconds, now)
    list_all(look, sorted(set(connection_ids)), open_at_first or {})
    tell_all(look)
    for place in cursor.places.values():
        place.forget_before(overlap_seconds)
    return look.polled
