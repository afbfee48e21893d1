"""One watcher per event loop and credential, found by whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from datetime import datetime
from weakref import WeakKeyDictionary

from planasonix.errors import PlanasonixError
from planasonix.watch.conclude import raise_unless_succeeded, timed_out
from planasonix.watch.interval import Interval
from planasonix.watch.protocols import ENDED_PHASES, AsyncWatchClient, Kind, WatchedRun, reader_of
from planasonix.watch.watcher import Watcher

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Watcher]] = WeakKeyDictionary()


def watcher_for(client: AsyncWatchClient) -> Watcher:
    """The watcher that every waiter who sees the same runs shares in the running event loop."""
    loop = asyncio.get_running_loop()
    key = client.config.watch_key
    of_loop = _watchers.setdefault(loop, {})
    if key not in of_loop:
        # An idle watcher is forgotten: it refers to its loop, which would otherwise never be freed.
        of_loop[key] = Watcher(on_idle=lambda: of_loop.pop(key, None))
    return of_loop[key]


async def watch_shared(
    client: AsyncWatchClient,
    kind: Kind,
    run_id: str,
    *,
    timeout_seconds: float | None = None,
    created_at: datetime | None = None,
    interval: Interval | None = None,
    age_seconds: float = 0.0,
    on_change: Callable[[WatchedRun], None] | None = None,
) -> WatchedRun:
    """Return the run once it has ended, well or not, through the shared watcher.

    Raises `WaitTimeoutError` after `timeout_seconds`, having read the run once more at that moment; `NotFoundError`
    when it is missing for two minutes; `AuthenticationError` or `PermissionDeniedError` when the key is refused for
    five. The run goes on in all these cases. `age_seconds`: how old the run is; the adaptive pause follows it.
    """
    last: list[WatchedRun] = []

    def note(run: WatchedRun) -> None:
        last[:] = [run]
        if on_change is not None:
            on_change(run)

    waiting = watcher_for(client).wait(
        client,
        kind,
        run_id,
        created_at=created_at,
        interval=interval,
        age_seconds=age_seconds,
        on_change=note,
    )
    try:
        return await asyncio.wait_for(waiting, timeout_seconds)
    except TimeoutError:
        final = await _read(client, kind, run_id)
        if final is not None and final.phase in ENDED_PHASES:
            return final
        status = str(final.status) if final is not None else str(last[0].status) if last else None
        raise timed_out(kind, run_id, status, timeout_seconds) from None


async def wait_shared(
    client: AsyncWatchClient, kind: Kind, run_id: str, *, timeout_seconds: float | None = None
) -> WatchedRun:
    """Return the run once it ended well; raises as `watch_shared`, and `RunFailedError` or `RunCancelledError`."""
    run = await watch_shared(client, kind, run_id, timeout_seconds=timeout_seconds)
    raise_unless_succeeded(kind, run)
    return run


async def _read(client: AsyncWatchClient, kind: Kind, run_id: str) -> WatchedRun | None:
    try:
        return await reader_of(client, kind).get(run_id)
    except PlanasonixError:
        return None
