"""kill -9 of the receiver under load: what got its 2xx is in the inbox once, the rest comes again and is there once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from planasonix.webhooks import Inbox
from planasonix.webhooks.inbox import StoredEvent, consume
from tests.core.webhooks.sending import Senders
from tests.core.webhooks.serving import SECRET, Receiver, until

_CHANCE = random.Random(11)


@contextmanager
def consuming(url: str, effects: list[str]) -> Iterator[Inbox]:
    """A consumer beside the receiver; adds each effect's deterministic key to `effects`."""
    stop = threading.Event()

    def effect(stored: StoredEvent) -> None:
        effects.append(stored.effect_key("reload"))

    with Inbox.open(url) as inbox:
        options = {"holder": "h", "stop": stop, "start": "beginning", "idle_seconds": 0.05}
        thread = threading.Thread(target=consume, args=(inbox, "reload", effect), kwargs=options)
        thread.start()
        try:
            yield inbox
        finally:
            stop.set()
            thread.join(60)


def _kill_receivers(url: str, kills: int) -> None:
    receiver = Receiver(None, "--inbox", url, PLANASONIX_WEBHOOK_SECRETS=SECRET)
    began = time.monotonic()
    effects: list[str] = []
    try:
        receiver.start()
        with consuming(url, effects) as inbox:
            with Senders(receiver.url) as senders:
                for _ in range(kills):
                    senders.wait_for(10)
                    time.sleep(_CHANCE.uniform(0.0, 0.5))
                    receiver.kill()
                    senders.wait_for_answer("none", 8)
                    receiver.start()
                senders.wait_for(10)
            receiver.stop()
            last = inbox.last_seq()
            until(lambda: inbox.cursor("reload") == last)
            stored = list(_all(inbox))
            assert inbox.dead_letters() == []
    finally:
        receiver.kill()
    times = Counter(each.event.event_id for each in stored)
    lost = [each for each in senders.acknowledged if each not in times]
    twice = [each for each, count in times.items() if count > 1]
    count = len(senders.acknowledged)
    print(
        f"\n{url.partition(':')[0]}: {count} deliveries, {kills} kills, {senders.resent} sent again, "
        f"{len(lost)} lost, {len(twice)} twice, {time.monotonic() - began:.1f} s"
    )
    assert (lost, twice) == ([], [])
    assert sorted(times) == sorted(senders.acknowledged), "each was sent until it was acknowledged"
    assert set(senders.answers) <= {200, 503, "none"}
    assert senders.resent >= kills, "each kill struck deliveries that were under way"
    assert sorted(effects) == sorted(each.effect_key("reload") for each in stored)
    assert len(effects) == len(set(effects))


def test_a_killed_receiver_loses_and_doubles_nothing(sqlite_url: str) -> None:
    _kill_receivers(sqlite_url, kills=2)


@pytest.mark.scenario
@pytest.mark.timeout(900)
def test_a_receiver_killed_20_times_loses_and_doubles_nothing(inbox_url: str) -> None:
    _kill_receivers(inbox_url, kills=20)


def _all(inbox: Inbox) -> Iterator[StoredEvent]:
    place = 0
    while rows := inbox.read(place):
        yield from rows
        place = rows[-1].seq
