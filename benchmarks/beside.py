"""All calls beside one another in one run: bare httpx, ours, and two peers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.blocks import best_microseconds_on_top, in_turn, microseconds_on_top, speed_beside
from benchmarks.calls import async_calls, on_a_loop, sync_calls
from benchmarks.figure import Figure
from benchmarks.peers import async_peers, sync_peers
from benchmarks.server import served

ROUNDS = 60
CALLS = 25
WORDS = {"get": "poll (GET)", "start": "start (POST with a key)"}


def calls_and_peers() -> Iterator[Figure]:
    with served() as url:
        with sync_calls(url) as ours, sync_peers(url) as peers:
            yield from _figures("sync", in_turn({**ours, **peers}, rounds=ROUNDS, calls=CALLS))
        with on_a_loop(url, async_calls, async_peers) as contenders:
            yield from _figures("async", in_turn(contenders, rounds=ROUNDS, calls=CALLS))


def _figures(mode: str, seconds: Mapping[str, Sequence[float]]) -> Iterator[Figure]:
    for kind, words in WORDS.items():
        bare, ours = seconds[f"httpx {kind}"], seconds[f"planasonix {kind}"]
        what = f"{mode} {words}"
        yield Figure(f"{what}: calls per second of bare httpx", _per_second(bare))
        yield Figure(f"{what}: ours, times as many", _times(bare, ours), "≥ 0.7")
        yield Figure(f"{what}: ours, on top of bare httpx", _on_top(bare, ours), goal="≤ 60 µs")
        for peer in ("openai", "stripe"):
            yield Figure(f"{what}: {peer}'s client, times as many", _times(bare, seconds[f"{peer} {kind}"]))


def _times(bare: Sequence[float], client: Sequence[float]) -> str:
    return f"{speed_beside(bare, client):.2f} ({_per_second(client)})"


def _on_top(bare: Sequence[float], client: Sequence[float]) -> str:
    on_top, best = microseconds_on_top(bare, client), best_microseconds_on_top(bare, client)
    return f"{on_top:.0f} µs (quickest rounds: {best:.0f} µs)"


def _per_second(seconds: Sequence[float]) -> str:
    return f"{1 / statistics.median(seconds):,.0f}/s"
