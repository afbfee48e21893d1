"""What is removed never comes in anew, whatever the order of deliveries, clean-ups and years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from planasonix.webhooks.inbox import Arrival
from planasonix.webhooks.inbox.arrivals import KEYS_KEPT
from tests.core.webhooks.inbox.making import arrived, job_event, open_at

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class _Clock:
    now = _BEGIN

    def __call__(self) -> datetime:
        return self.now


def test_a_removed_event_is_known_as_long_as_a_sender_could_repeat_it_and_then_as_too_old(inbox_url: str) -> None:
    clock = _Clock()
    timed = arrived(1, timestamp=_BEGIN.isoformat())
    with open_at(inbox_url, clock) as inbox:
        inbox.add([timed])
        clock.now += timedelta(days=31)
        assert inbox.prune().events == 1
        assert inbox.read(0) == []
        assert inbox.add([timed])[0].duplicate
        clock.now += KEYS_KEPT + timedelta(days=32)  # the repetition has prolonged its life
        assert inbox.prune().keys == 2
        assert inbox.add([timed])[0].duplicate
        # Another one of that time may have been here or not; one of today was not.
        assert inbox.add([arrived(2, timestamp=_BEGIN.isoformat())])[0].duplicate
        assert not inbox.add([arrived(3, timestamp=clock.now.isoformat())])[0].duplicate
        assert inbox.last_seq() == 2


def test_an_event_without_a_time_is_remembered_for_good(inbox_url: str) -> None:
    clock = _Clock()
    with open_at(inbox_url, clock) as inbox:
        inbox.add([arrived(1)])
        clock.now += timedelta(days=3650)
        pruned = inbox.prune()
        assert (pruned.events, pruned.keys) == (1, 0)
        assert inbox.add([arrived(1)])[0].duplicate


def test_a_delivery_after_the_sweeps_finding_is_known_by_its_own_id_from_then_on(inbox_url: str) -> None:
    clock = _Clock()
    found = Arrival.of(job_event("found", job_id="job_1", timestamp=_BEGIN.isoformat()), "sweep")
    delivered = arrived(1)  # without a time: it can come again at any age
    with open_at(inbox_url, clock) as inbox:
        inbox.add([found])
        assert inbox.add([delivered])[0] == inbox.add([found])[0]
        clock.now += timedelta(days=400)
        inbox.prune()
        assert inbox.add([delivered])[0].duplicate


def test_an_inbox_that_never_forgot_takes_an_event_of_any_age(inbox_url: str) -> None:
    with open_at(inbox_url, _Clock()) as inbox:
        assert not inbox.add([arrived(1, timestamp="2001-01-01T00:00:00Z")])[0].duplicate
        inbox.prune()
        assert not inbox.add([arrived(2, timestamp="2001-01-01T00:00:00Z")])[0].duplicate


def test_a_clock_that_was_years_ahead_once_rules_out_nothing_that_is_to_come(inbox_url: str) -> None:
    clock = _Clock()
    old = arrived(1, timestamp=_BEGIN.isoformat())
    with open_at(inbox_url, clock) as inbox:
        inbox.add([old])
        clock.now += timedelta(days=3650)
        assert inbox.prune().keys == 2
        clock.now = _BEGIN + timedelta(minutes=5)
        assert not inbox.add([arrived(2, timestamp=clock.now.isoformat())])[0].duplicate
        assert inbox.add([old])[0].duplicate


def test_what_is_still_to_be_done_or_looked_at_stays(inbox_url: str) -> None:
    clock = _Clock()
    with open_at(inbox_url, clock) as inbox:
        inbox.add([arrived(1), arrived(2), arrived(3)])
        clock.now += timedelta(days=40)
        inbox.failed("c", 1, "given up")
        inbox.failed("c", 2, "again", again_in_seconds=60.0)
        pruned = inbox.prune()
        assert (pruned.events, pruned.dead_letters, pruned.behind) == (1, 0, ("c",))
        assert [stored.seq for stored in inbox.read(0)] == [1, 2]
        assert inbox.replay_dead([1]) == [4]


def test_the_cursor_goes_forward_only(inbox_url: str) -> None:
    with open_at(inbox_url, _Clock()) as inbox:
        inbox.add([arrived(1), arrived(2)])
        inbox.advance("c", 2)
        inbox.advance("c", 1)
        assert inbox.cursor("c") == 2
