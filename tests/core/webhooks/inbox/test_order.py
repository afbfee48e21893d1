"""Numbers rise in the order in which events become visible, whoever writes: a reader never looks back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from planasonix.webhooks.inbox import Inbox, StoredEvent
from tests.core.webhooks.inbox.making import arrived
from tests.core.webhooks.postgres import PostgresServer

WRITERS, BATCHES, PER_BATCH = 4, 20, 3


def test_a_reader_sees_every_event_of_a_storm_once_and_in_order(inbox_url: str) -> None:
    Inbox.open(inbox_url).close()
    done = threading.Event()

    def write(writer: int) -> None:
        with Inbox.open(inbox_url) as inbox:
            for batch in range(BATCHES):
                inbox.add([arrived(f"{writer}.{batch}.{number}") for number in range(PER_BATCH)])

    def follow() -> list[StoredEvent]:
        seen: list[StoredEvent] = []
        with Inbox.open(inbox_url) as inbox:
            while True:
                last = done.is_set()
                rows = inbox.read(seen[-1].seq if seen else 0)
                seen += rows
                if last and not rows:
                    return seen

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reader = pool.submit(follow)
        for writing in [pool.submit(write, writer) for writer in range(WRITERS)]:
            writing.result(timeout=100)
        done.set()
        seen = reader.result(timeout=60)
    assert [stored.seq for stored in seen] == list(range(1, WRITERS * BATCHES * PER_BATCH + 1))
    assert len({stored.event.event_id for stored in seen}) == WRITERS * BATCHES * PER_BATCH


def test_an_event_waits_for_the_one_that_was_numbered_before_it(postgres: PostgresServer) -> None:
    """A sequence would lose it: the first writer has its number, and has not committed when a second comes."""
    url = postgres.new_database()
    with Inbox.open(url) as inbox, psycopg.connect(url) as slow, ThreadPoolExecutor(1) as pool:
        inbox.add([arrived(1)])
        slow.execute("SELECT last_seq FROM planasonix_inbox_meta FOR UPDATE")
        second = pool.submit(inbox.add, [arrived(3)])
        with pytest.raises(TimeoutError):
            second.result(timeout=0.3)
        slow.execute(
            "INSERT INTO planasonix_inbox_events SELECT 2, 'evt_2', type, kind, 'job_2', connection_id, status, "
            "occurred_us, received_us, source, replay_of, only_for, payload FROM planasonix_inbox_events"
        )
        slow.execute("UPDATE planasonix_inbox_meta SET last_seq = 2")
        assert [stored.seq for stored in inbox.read(0)] == [1]
        slow.commit()
        (added,) = second.result(timeout=30)
        assert added.seq == 3
        assert [stored.event.event_id for stored in inbox.read(1)] == ["evt_2", "evt_3"]


def test_of_many_who_bring_one_event_one_stores_it(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox, ThreadPoolExecutor(5) as pool:
        tries = [pool.submit(inbox.add, [arrived(number % 3) for number in range(6)]) for _ in range(5)]
        added = [each for one in tries for each in one.result(timeout=60)]
        assert sum(not each.duplicate for each in added) == 3
        assert len(inbox.read(0)) == inbox.last_seq() == 3
