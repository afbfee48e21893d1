"""Waiting for jobs and backfills: the rules, a blocking wait, and the watcher that many waits share.

Standard library only. The package sits below the client and sees it through the protocols of `protocols`, so that
`jobs.wait` can be built on it and the tests can drive it without a network.

========================  =========================================================================================
`patience`                what one look at a run means: go on, ended, or give up with a typed error
`interval`                when to look again
`blocking`                `wait_blocking`: one run, one thread
`round`                   one round of looking for many runs: GET each, or list pages and compare
`watcher`, `shared`       `wait_shared`: one `Watcher` per event loop and credential, shared by every waiter
========================  =========================================================================================
"""

from typing import TYPE_CHECKING, Any

from planasonix.watch.blocking import look_until_ended, wait_blocking
from planasonix.watch.interval import Interval
from planasonix.watch.protocols import AsyncWatchClient, Kind, WatchClient, WatchedRun

if TYPE_CHECKING:
    from planasonix.watch.shared import wait_shared, watch_shared, watcher_for
    from planasonix.watch.watcher import Watcher

__all__ = [
    "AsyncWatchClient",
    "Interval",
    "Kind",
    "WatchClient",
    "WatchedRun",
    "Watcher",
    "look_until_ended",
    "wait_blocking",
    "wait_shared",
    "watch_shared",
    "watcher_for",
]

# What needs asyncio is imported on use: a DAG file that names an operator never waits in an event loop.
_MODULE_BY_NAME = {
    "Watcher": "planasonix.watch.watcher",
    "wait_shared": "planasonix.watch.shared",
    "watch_shared": "planasonix.watch.shared",
    "watcher_for": "planasonix.watch.shared",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULE_BY_NAME[name]), name)
