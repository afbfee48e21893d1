from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from planasonix.errors import ConfigurationError
from planasonix.webhooks import Event
from planasonix.webhooks.inbox import Arrival, Inbox, LeaseLost, StoredEvent, TryLater, consume
from planasonix.webhooks.inbox.consuming import Patience
from tests.core.webhooks.inbox.making import arrived, job_event

QUICK = Patience(attempts=3, first_seconds=0.01, longest_seconds=0.02)


def _run(inbox: Inbox, effect: Callable[[StoredEvent], object], until: Callable[[], bool], **more: object) -> None:
    """Consumes as "c" until the condition holds."""
    stop = threading.Event()
    options: dict[str, object] = {"start": "beginning", "idle_seconds": 0.02, "patience": QUICK} | more
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(consume, inbox, "c", effect, holder="h", stop=stop, **options)  # type: ignore[arg-type]
        deadline = time.monotonic() + 60
        while not until() and not running.done() and time.monotonic() < deadline:
            time.sleep(0.01)
        held = until()
        stop.set()
        running.result(timeout=60)
    assert held


def test_a_poison_event_becomes_a_dead_letter_and_holds_nobody_up(inbox_url: str) -> None:
    seen: list[int] = []
    lines: list[tuple[str, str]] = []

    def effect(stored: StoredEvent) -> None:
        seen.append(stored.seq)
        if stored.seq == 2:
            raise RuntimeError("whsec_0123456789abcdef is no good\nand more")

    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(number) for number in range(4)])
        _run(inbox, effect, lambda: bool(inbox.dead_letters()), log=lambda level, text: lines.append((level, text)))
        assert seen[:4] == [1, 2, 3, 4]
        assert seen.count(2) == QUICK.attempts
        (dead,) = inbox.dead_letters("c")
        assert (dead.consumer, dead.attempts) == ("c", 3)
        assert dead.stored is not None
        assert dead.stored.seq == 2
        assert dead.error == "RuntimeError: whsec_*** is no good"
        assert inbox.cursor("c") == 4
    assert [level for level, _ in lines] == ["warning", "warning", "error"]
    assert "0123456789abcdef" not in str(lines)


def test_a_dead_letter_is_replayed_to_its_consumer_alone(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1)])
        _run(inbox, _fail, lambda: bool(inbox.dead_letters()))
        (dead,) = inbox.dead_letters()
        assert inbox.replay_dead([dead.id]) == [2]
        assert inbox.dead_letters() == []
        done: list[StoredEvent] = []
        _run(inbox, done.append, lambda: inbox.cursor("c") == 2)
        (stored,) = done
        assert (stored.source, stored.replay_of, stored.only_for) == ("replay", 1, "c")
        assert dead.stored is not None
        assert stored.effect_key("c") == dead.stored.effect_key("c") != stored.effect_key("d")
        assert inbox.add([arrived(1)])[0].duplicate  # a replay opens nothing to the outside
        others: list[StoredEvent] = []
        _run_as(inbox, "d", others)
        assert [one.seq for one in others] == [1]
        with pytest.raises(ConfigurationError, match="no dead letter 1"):
            inbox.replay_dead([dead.id])


def _fail(stored: StoredEvent) -> None:
    raise ValueError("no")


def _run_as(inbox: Inbox, consumer: str, done: list[StoredEvent]) -> None:
    stop = threading.Event()

    def effect(stored: StoredEvent) -> None:
        done.append(stored)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            consume, inbox, consumer, effect, holder="h", stop=stop, start="beginning", idle_seconds=0.02
        )
        deadline = time.monotonic() + 60
        while inbox.cursor(consumer) < inbox.last_seq() and time.monotonic() < deadline:
            time.sleep(0.01)
        stop.set()
        running.result(timeout=60)


def test_an_unreadable_delivery_is_kept_and_read_again(inbox_url: str) -> None:
    body = b'{"id": "evt_9", "type": "job.failed", "job_id": "job_9"}'
    with Inbox.open(inbox_url) as inbox:
        # As if an older release could not read it.
        inbox.add([Arrival.unreadable(body, "no type"), Arrival.unreadable(b"\xff", "not JSON")])
        first, second = inbox.dead_letters()
        assert (first.consumer, first.stored, first.body, first.error) == (None, None, body, "no type")
        assert inbox.read(0) == []
        assert inbox.replay_dead([first.id, second.id]) == [1]
        (stored,) = inbox.read(0)
        assert (stored.event.event_id, stored.source) == ("evt_9", "replay")
        assert [dead.id for dead in inbox.dead_letters()] == [second.id]


def test_a_target_that_is_away_is_waited_for_and_nothing_is_given_up(inbox_url: str) -> None:
    calls: list[int] = []

    def effect(stored: StoredEvent) -> None:
        calls.append(stored.seq)
        if len(calls) <= 10:
            raise TryLater(seconds=0.005)

    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1), arrived(2)])
        _run(inbox, effect, lambda: inbox.cursor("c") == 2)
        assert calls == [1] * 11 + [2]
        assert inbox.dead_letters() == []


def test_waiting_for_a_target_counts_no_tries_over_restarts(inbox_url: str) -> None:
    calls: list[int] = []

    def away(stored: StoredEvent) -> None:
        calls.append(stored.seq)
        raise TryLater(seconds=30)

    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1)])
        for turn in range(QUICK.attempts + 2):
            _run(inbox, away, lambda expected=turn + 1: len(calls) == expected)
        done: list[StoredEvent] = []
        _run(inbox, done.append, lambda: inbox.cursor("c") == 1)
        assert len(done) == 1
        assert inbox.dead_letters() == []


def test_an_event_that_ends_its_process_each_time_is_given_up_too(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1), arrived(2)])
        for _ in range(QUICK.attempts):
            inbox.begin("c", 1, 0.0)  # what a process leaves that is killed during its first event
        done: list[int] = []
        _run(inbox, lambda stored: done.append(stored.seq), lambda: inbox.cursor("c") == 2)
        assert done == [2]
        (dead,) = inbox.dead_letters()
        assert dead.error == "the process ended during each try"


def test_of_two_consumers_of_one_name_one_works_and_the_other_takes_over(inbox_url: str) -> None:
    done: list[tuple[str, int]] = []
    first, second = threading.Event(), threading.Event()
    with Inbox.open(inbox_url) as inbox, ThreadPoolExecutor(2) as pool:
        running = [
            pool.submit(
                consume,
                inbox,
                "c",
                lambda stored, name=name: done.append((name, stored.seq)),
                holder=name,
                stop=stop,
                start="beginning",
                lease_seconds=5.0,
                idle_seconds=0.02,
            )
            for name, stop in (("one", first), ("two", second))
        ]
        try:
            for seq in range(1, 6):
                inbox.add([arrived(seq)])
                _wait(lambda seq=seq: len(done) == seq)
            (worker,) = {name for name, _ in done}
            (first if worker == "one" else second).set()
            inbox.add([arrived(6)])
            _wait(lambda: len(done) == 6)
            assert done[-1] == ("two" if worker == "one" else "one", 6)
        finally:
            first.set()
            second.set()
            for each in running:
                each.result(timeout=30)


def test_a_long_effect_keeps_the_lease(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1)])
        taken: list[object] = []

        def effect(stored: StoredEvent) -> None:
            for _ in range(10):
                time.sleep(0.15)
                taken.append(inbox.lease("consume:c", "thief", 1.0))

        _run(inbox, effect, lambda: inbox.cursor("c") == 1, lease_seconds=0.9)
        assert taken == [None] * 10


def test_a_hanging_effect_is_told_while_it_hangs_and_goes_on(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1), arrived(2)])
        told: list[str] = []

        def effect(stored: StoredEvent) -> None:
            if stored.seq == 1:
                time.sleep(1.0)

        def log(level: str, text: str) -> None:
            told.append(f"{level}: {text}")

        _run(inbox, effect, lambda: inbox.cursor("c") == 2, slow_seconds=0.2, log=log)
    # At 0.2 s, at twice what it had taken then, and at twice that at most.
    assert 2 <= len(told) <= 3
    assert all(each.startswith("warning: c is at event 1 (job.succeeded) for") for each in told)


def test_a_holder_that_slept_too_long_moves_nothing_any_more(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1)])
        old = inbox.lease("x", "old", 0.0)
        new = inbox.lease("x", "new", 60.0)
        assert old is not None
        assert new is not None
        assert not inbox.renew(old)
        inbox.release(old)
        assert inbox.lease("x", "third", 60.0) is None  # what the old one released was not its own any more
        for late in (
            lambda: inbox.advance("c", 1, old),
            lambda: inbox.begin("c", 1, 0.0, old),
            lambda: inbox.failed("c", 1, "late", lease=old),
            lambda: inbox.not_tried("c", 1, old),
            lambda: inbox.write_note("n", "late", old),
        ):
            with pytest.raises(LeaseLost, match="'x'"):
                late()
        assert (inbox.cursor("c"), inbox.note("n"), inbox.dead_letters()) == (0, None, [])
        inbox.write_note("n", "first", new)
        inbox.write_note("n", "second", new)
        assert inbox.note("n") == "second"


def test_a_new_consumer_begins_now_or_at_the_beginning(inbox_url: str) -> None:
    with Inbox.open(inbox_url) as inbox:
        inbox.add([arrived(1)])
        assert inbox.subscribe("late") == 1
        assert inbox.subscribe("all", "beginning") == 0
        assert inbox.subscribe("late", "beginning") == 1
        assert inbox.subscribe("all") == 0


def test_an_end_is_one_effect_whoever_tells_of_it() -> None:
    from datetime import UTC, datetime

    from planasonix.models import Job
    from planasonix.webhooks import Event

    job = Job.read({"id": "job_1", "status": "succeeded"})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    delivered = StoredEvent(1, job_event(1), at, "webhook")
    found = StoredEvent(7, Event.of_run(job, "job"), at, "sweep")
    assert delivered.effect_key("c") == found.effect_key("c")
    assert delivered.effect_key("c") != StoredEvent(1, job_event(1, type="job.failed"), at, "webhook").effect_key("c")


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_an_end_that_was_given_up_comes_again_with_whoever_tells_of_it_next(inbox_url: str) -> None:
    """The first may have told it too early. The same event once more tells nothing new."""
    bodies = [f'{{"id":"evt_{number}","type":"job.succeeded","job_id":"job_1"}}'.encode() for number in (1, 2)]
    early, later = (Arrival.of(Event.parse(body)) for body in bodies)
    with Inbox.open(inbox_url) as inbox:
        inbox.add([early])
        _run(inbox, _fail, lambda: bool(inbox.dead_letters()))
        inbox.add([early])
        assert len(inbox.dead_letters()) == 1
        assert inbox.add([later])[0].duplicate
        assert inbox.dead_letters() == []
        done: list[StoredEvent] = []
        _run(inbox, done.append, lambda: bool(done))
        assert [(one.event.object_id, one.only_for) for one in done] == [("job_1", "c")]
