"""Waiting on an event loop for a run that somebody else starts: triggers, flows, async steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from planasonix.errors import PlanasonixError
from planasonix.runs.effects import RunView
from planasonix.runs.since.blocking import ADAPTIVE, timed_out
from planasonix.runs.since.board import Board
from planasonix.runs.since.judge import Sighting
from planasonix.runs.since.look import afind_run_since
from planasonix.runs.since.wish import RunSince
from planasonix.watch import Interval, Kind
from planasonix.watch.patience import LOOK_SECONDS

if TYPE_CHECKING:
    from planasonix.client import AsyncPlanasonix

_Key = tuple[Hashable, Kind]
_boards: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, Board]] = WeakKeyDictionary()


def board_for(client: AsyncPlanasonix, kind: Kind) -> Board:
    """The board that all share who see the same runs in the running event loop."""
    of_loop = _boards.setdefault(asyncio.get_running_loop(), {})
    key: _Key = (client.config.watch_key, kind)
    board = of_loop.get(key)
    if board is None:
        for ref in _boards.keyrefs():
            # A board refers to its loop. One that was closed under its waits would never be freed.
            if (loop := ref()) is not None and loop.is_closed():
                _boards.pop(loop, None)
        board = of_loop[key] = Board(kind, on_idle=lambda: of_loop.pop(key, None))
    return board


async def await_run_since(
    client: AsyncPlanasonix,
    wish: RunSince,
    *,
    timeout_seconds: float | None = None,
    interval: Interval | None = None,
    on_change: Callable[[RunView], None] | None = None,
) -> Sighting:
    """Return what was found, or what failed; its list pages are shared with all who wait in this event loop.

    `interval` is the pause between looks; left out, it is 5 to 30 s, and longer where very many wait. `on_change` is
    called with the run that is waited for, at first sight and when its status changes.

    Raises `WaitTimeoutError` after `timeout_seconds`, having looked once more at that moment; `AuthenticationError` or
    `PermissionDeniedError` when the key is refused for five minutes, `NotFoundError` when the list is missing for two.
    No other failure of a look ends the wait. Nothing is cancelled in any case: the runs are somebody else's.
    """
    last: list[RunView] = []

    def note(run: RunView) -> None:
        last[:] = [run]
        if on_change is not None:
            on_change(run)

    limit = asyncio.timeout(timeout_seconds)
    try:
        async with limit:
            return await board_for(client, wish.kind).wait(client, wish, interval or ADAPTIVE, note)
    except TimeoutError:
        if not limit.expired():
            raise
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            sighting = await afind_run_since(client.with_options(max_tries=1), wish)
    except (PlanasonixError, TimeoutError):
        sighting = Sighting("waiting", last[0] if last else None)
    if sighting.verdict != "waiting":
        return sighting
    raise timed_out(wish, sighting.run, timeout_seconds)
