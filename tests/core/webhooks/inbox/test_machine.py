"""The inbox against a model of it: whatever is done in whatever order, both hold the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from planasonix.webhooks.inbox import Added, Arrival, Lease, LeaseLost
from planasonix.webhooks.inbox.arrivals import KEYS_KEPT
from tests.core.webhooks.inbox.making import job_event, open_at, url_in
from tests.core.webhooks.postgres import PostgresServer

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_CONSUMERS = ("alpha", "beta")


@dataclass
class _Model:
    """What an inbox must hold, in plain words."""

    events: dict[int, str] = field(default_factory=dict)  # seq -> event id
    arrived: dict[int, datetime] = field(default_factory=dict)
    only_for: dict[int, str | None] = field(default_factory=dict)
    last: int = 0
    keys: dict[tuple[str, ...], tuple[int, datetime | None]] = field(default_factory=dict)  # and how long each is kept
    forgotten: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    bodies: set[bytes] = field(default_factory=set)
    delivered: list[Arrival] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    holder: Lease | None = None


_events = st.tuples(
    st.integers(0, 6),  # its id
    st.integers(0, 3),  # its job
    st.sampled_from(["job.succeeded", "job.completed", "job.failed", "job.started"]),
    st.sampled_from([None, 0, 5, 90]),  # its age in days, where its body has a time
    st.sampled_from(["webhook", "sweep"]),
)


class InboxMachine(RuleBasedStateMachine):
    """Runs on the URL that `url` makes."""

    @staticmethod
    def url(folder: Path) -> str:
        return url_in(folder)

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="inbox-machine-"))
        self.address = self.url(self.folder)
        self.now = _BEGIN
        self.model = _Model()
        self.inbox = open_at(self.address, lambda: self.now)
        self.seen = dict.fromkeys(_CONSUMERS, 0)

    def teardown(self) -> None:
        if hasattr(self, "inbox"):
            self.inbox.close()
            shutil.rmtree(self.folder)

    # --- what goes in ---------------------------------------------------------------------------------------------

    @rule(batch=st.lists(_events, min_size=1, max_size=6))
    def add(self, batch: list[tuple[int, int, str, int | None, Any]]) -> None:
        arrivals, expected = [], []
        for number, job, type_, age_days, source in batch:
            fields: dict[str, Any] = {"id": f"evt_{number}", "type": type_, "job_id": f"job_{job}"}
            at = None if age_days is None else self.now - timedelta(days=age_days)
            event = job_event(number, **fields | ({} if at is None else {"timestamp": at.isoformat()}))
            arrivals.append(Arrival.of(event, source))
            keys = [(event.event_id,)] + ([(f"job_{job}", event.status)] if event.status else [])
            expected.append(self._expect(event.event_id, keys, at))
        assert self.inbox.add(arrivals) == expected
        self.model.delivered += [arrival for arrival in arrivals if arrival.source == "webhook"]

    def _expect(self, event_id: str, keys: list[tuple[str, ...]], at: datetime | None) -> Added:
        model = self.model
        known = [model.keys[key][0] for key in keys if key in model.keys]
        if known:
            seq = known[0]
        elif at is not None and at < model.forgotten:
            return Added(None, True)
        else:
            seq = model.last = model.last + 1
            model.events[seq], model.arrived[seq], model.only_for[seq] = event_id, self.now, None
        until = None if at is None else max(at, self.now) + KEYS_KEPT
        for key in keys:
            first, kept = model.keys.get(key, (seq, until))
            model.keys[key] = (first, None if kept is None or until is None else max(kept, until))
        return Added(seq, bool(known))

    @precondition(lambda self: self.model.delivered)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """Whatever has been pruned meanwhile: the very same delivery never comes in twice."""
        arrival = data.draw(st.sampled_from(self.model.delivered))
        (added,) = self.inbox.add([arrival])
        assert added.duplicate
        event = arrival.event
        assert event is not None
        if added.seq is not None:
            keys = [(event.event_id,)] + ([(str(event.object_id), event.status)] if event.status else [])
            assert self._expect(event.event_id, keys, event.occurred_at) == added

    @rule(body=st.sampled_from([b"", b"\x00\xff", b"[1]"]))
    def add_unreadable(self, body: bytes) -> None:
        assert self.inbox.add([Arrival.unreadable(body, "not an object")]) == [Added(None, body in self.model.bodies)]
        self.model.bodies.add(body)

    # --- consumers ------------------------------------------------------------------------------------------------

    @rule(consumer=st.sampled_from(_CONSUMERS), start=st.sampled_from(["now", "beginning"]))
    def subscribe(self, consumer: str, start: Any) -> None:
        expected = self.model.cursors.setdefault(consumer, self.model.last if start == "now" else 0)
        assert self.inbox.subscribe(consumer, start) == expected

    @rule(consumer=st.sampled_from(_CONSUMERS), limit=st.integers(1, 4))
    def read_on(self, consumer: str, limit: int) -> None:
        rows = self.inbox.read(self.seen[consumer], limit)
        expected = [seq for seq in sorted(self.model.events) if seq > self.seen[consumer]][:limit]
        assert [row.seq for row in rows] == expected
        self.seen[consumer] = expected[-1] if expected else self.seen[consumer]

    @rule(consumer=st.sampled_from(_CONSUMERS), data=st.data())
    def advance(self, consumer: str, data: st.DataObject) -> None:
        seq = data.draw(st.integers(0, self.model.last))
        self.inbox.advance(consumer, seq)
        self.model.cursors[consumer] = max(seq, self.model.cursors.get(consumer, 0))

    # --- leases ---------------------------------------------------------------------------------------------------

    @rule(length=st.sampled_from([0.0, 3600.0]))
    def lease(self, length: float) -> None:
        lease = self.inbox.lease("work", "me", length)
        held = self.model.holder
        if held is not None and held.seconds > 0:
            assert lease is None
        else:
            assert lease is not None
            assert held is None or lease.token > held.token
            self.model.holder = lease
            if held is not None:  # its end had come, and another one is the holder now
                assert not self.inbox.renew(held)
                with pytest.raises(LeaseLost):
                    self.inbox.advance("alpha", 10_000, held)

    @precondition(lambda self: self.model.holder is not None)
    @rule()
    def hold(self) -> None:
        lease = self.model.holder
        assert lease is not None
        assert self.inbox.renew(lease)
        self.inbox.advance("alpha", 0, lease)
        self.model.cursors.setdefault("alpha", 0)

    @precondition(lambda self: self.model.holder is not None)
    @rule()
    def release(self) -> None:
        lease = self.model.holder
        assert lease is not None
        self.inbox.release(lease)
        assert not self.inbox.renew(lease)
        self.model.holder = None

    # --- care -----------------------------------------------------------------------------------------------------

    @rule(days=st.sampled_from([1, 29, 61, 100]))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)

    @rule(days=st.sampled_from([1, 30]))
    def prune(self, days: int) -> None:
        before = self.now - timedelta(days=days)
        gone = {seq for seq, at in self.model.arrived.items() if at < before}
        assert self.inbox.prune(timedelta(days=days)).events == len(gone)
        for seq in gone:
            del self.model.events[seq], self.model.arrived[seq], self.model.only_for[seq]
        kept = {key: value for key, value in self.model.keys.items() if value[1] is None or value[1] >= self.now}
        if kept != self.model.keys:
            # The newest of what was forgotten, whatever the clock says.
            last = max(until for _, until in self.model.keys.values() if until is not None and until < self.now)
            self.model.forgotten = max(self.model.forgotten, last - KEYS_KEPT + timedelta(microseconds=1))
        self.model.keys = kept

    @precondition(lambda self: self.model.events)
    @rule(data=st.data(), consumer=st.sampled_from([None, *_CONSUMERS]))
    def replay(self, data: st.DataObject, consumer: str | None) -> None:
        seq = data.draw(st.sampled_from(sorted(self.model.events)))
        self.model.last += 1
        assert self.inbox.replay([seq], consumer) == [self.model.last]
        self.model.events[self.model.last] = self.model.events[seq]
        self.model.arrived[self.model.last], self.model.only_for[self.model.last] = self.now, consumer

    @rule()
    def crash(self) -> None:
        """What is not committed is gone with the process, and what is, is there for the next one."""
        self.inbox.close()
        self.inbox = open_at(self.address, lambda: self.now)

    # --- always ---------------------------------------------------------------------------------------------------

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "inbox"):
            return
        rows = self.inbox.read(0, 10_000)
        assert {row.seq: row.event.event_id for row in rows} == self.model.events
        assert {row.seq: row.received_at for row in rows} == self.model.arrived
        assert {row.seq: row.only_for for row in rows} == self.model.only_for
        assert [row.seq for row in rows] == sorted(self.model.events)
        assert self.inbox.last_seq() == self.model.last
        for consumer in _CONSUMERS:
            assert self.inbox.cursor(consumer) == self.model.cursors.get(consumer, 0)


_QUICK = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_sqlite() -> None:
    run_state_machine_as_test(InboxMachine, settings=_QUICK)


def test_postgresql(postgres: PostgresServer) -> None:
    class OnPostgres(InboxMachine):
        @staticmethod
        def url(folder: Path) -> str:
            return postgres.new_database()

    run_state_machine_as_test(OnPostgres, settings=settings(_QUICK, max_examples=5))


@pytest.mark.scenario
@pytest.mark.timeout(900)
def test_sqlite_long() -> None:
    run_state_machine_as_test(InboxMachine, settings=settings(_QUICK, max_examples=400, stateful_step_count=50))
