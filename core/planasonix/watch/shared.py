"""One watcher per event loop and credential, found by whoever waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from datetime import datetime
from weakref import WeakKeyDictionary

from planasonix.errors import PlanasonixError
from planasonix.watch.conclude import TimeIsUp, raise_unless_succeeded, timed_out
from planasonix.watch.interval import Interval
from planasonix.watch.patience import LOOK_SECONDS
from planasonix.watch.protocols import ENDED_PHASES, AsyncWatchClient, Kind, WatchedRun, reader_of
from planasonix.watch.watcher import Watcher

log = logging.getLogger(__name__)

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Watcher]] = WeakKeyDictionary()


def watcher_for(client: AsyncWatchClient) -> Watcher:
    """The watcher that every waiter who sees the same runs shares in the running event loop."""
    loop = asyncio.get_running_loop()
    key = client.config.watch_key
    of_loop = _watchers.setdefault(loop, {})
    watcher = of_loop.get(key)
    if watcher is None or watcher.watch_key not in (None, key):
        _file_anew(of_loop)
        watcher = of_loop.get(key)
    if watcher is None:
        watcher = of_loop[key] = _new_watcher(of_loop)
    return watcher


def _file_anew(of_loop: dict[Hashable, Watcher]) -> None:
    """A watcher whose credential was replaced is found under the new one from now on. It leaves its old place first:
    whoever still comes with the old credential must not push a watcher out that serves thousands.
    """
    moved = [(key, one) for key, one in of_loop.items() if one.watch_key not in (None, key)]
    for key, _ in moved:
        del of_loop[key]
    for _, one in moved:
        of_loop.setdefault(one.watch_key, one)


def _new_watcher(of_loop: dict[Hashable, Watcher]) -> Watcher:
    def forget() -> None:
        for key in [key for key, one in of_loop.items() if one is watcher]:
            del of_loop[key]

    for ref in _watchers.keyrefs():
        # A watcher refers to its loop. One that was closed under its waits would never be freed.
        if (loop := ref()) is not None and loop.is_closed():
            _watchers.pop(loop, None)
    watcher = Watcher(on_idle=forget)
    return watcher


def nudge_shared(kind: Kind, run_id: str) -> bool:
    """Tell all watchers of the running event loop that this run may have ended; see `Watcher.nudge`."""
    watchers = {id(one): one for one in _watchers.get(asyncio.get_running_loop(), {}).values()}
    answers = [one.nudge(kind, run_id) for one in watchers.values()]  # all of them, not the first that says yes
    return any(answers)


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
    remind_seconds: float | None = None,
) -> WatchedRun:
    """Return the run once it has ended, well or not, through the shared watcher.

    Raises `WaitTimeoutError` after `timeout_seconds`, having read the run once more at that moment; `NotFoundError`
    when it is missing for two minutes; `AuthenticationError` or `PermissionDeniedError` when the key is refused for
    five. The run goes on in all these cases. `age_seconds`: how old the run is; the adaptive pause follows it.
    `on_change` hears of each new status, and of the same one again after `remind_seconds`.
    """
    try:
        return await watcher_for(client).wait(
            client,
            kind,
            run_id,
            timeout_seconds=timeout_seconds,
            created_at=created_at,
            interval=interval,
            age_seconds=age_seconds,
            on_change=on_change,
            remind_seconds=remind_seconds,
        )
    except TimeIsUp as end:
        status = end.status
    final = await _read(client, kind, run_id)
    if final is not None and final.phase in ENDED_PHASES:
        return final
    raise timed_out(kind, run_id, status if final is None else str(final.status), timeout_seconds)


async def wait_shared(
    client: AsyncWatchClient, kind: Kind, run_id: str, *, timeout_seconds: float | None = None
) -> WatchedRun:
    """Return the run once it ended well; raises as `watch_shared`, and `RunFailedError` or `RunCancelledError`."""
    run = await watch_shared(client, kind, run_id, timeout_seconds=timeout_seconds)
    raise_unless_succeeded(kind, run)
    return run


async def _read(client: AsyncWatchClient, kind: Kind, run_id: str) -> WatchedRun | None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            run = await reader_of(client, kind).get(run_id)
    except (PlanasonixError, TimeoutError):
        return None
    except Exception:
        # A defect in reading must not hide that the time is up.
        log.exception("the last look at %s %s failed", kind, run_id)
        return None
    return run if run.id == run_id else None
