"""Waiting for jobs and backfills: the rules, a blocking wait, and the watcher that many waits share.

Standard library only. The package sits below the client and sees it through the protocols of `protocols`, so that
`jobs.wait` can be built on it and the tests can drive it without a network.

========================  =========================================================================================
`patience`                what one look at a run means: go on, ended, or give up with a typed error
`interval`                when to look again
`blocking`                `wait_blocking`: one run, one thread
`round`                   one round of looking for many runs: GET each, or list pages and compare
`group`, `agenda`         the runs of one kind, when each is due, and the loop of rounds
`watcher`, `shared`       `wait_shared`: one `Watcher` per event loop and credential, shared by every waiter
`heard`                   ends that an event told before anybody waited for them
========================  =========================================================================================
"""

from typing import TYPE_CHECKING

from planasonix._lazy import lazy_names

if TYPE_CHECKING:
    from planasonix.watch.blocking import look_until_ended, wait_blocking
    from planasonix.watch.interval import Interval
    from planasonix.watch.protocols import AsyncWatchClient, Kind, WatchClient, WatchedRun
    from planasonix.watch.shared import nudge_shared, wait_shared, watch_shared, watcher_for
    from planasonix.watch.watcher import Watcher

__all__ = [
    "AsyncWatchClient",
    "Interval",
    "Kind",
    "WatchClient",
    "WatchedRun",
    "Watcher",
    "look_until_ended",
    "nudge_shared",
    "wait_blocking",
    "wait_shared",
    "watch_shared",
    "watcher_for",
]

__getattr__ = lazy_names(
    __name__,
    {
        "blocking": ("look_until_ended", "wait_blocking"),
        "interval": ("Interval",),
        "protocols": ("AsyncWatchClient", "Kind", "WatchClient", "WatchedRun"),
        "shared": ("nudge_shared", "wait_shared", "watch_shared", "watcher_for"),
        "watcher": ("Watcher",),
    },
)
