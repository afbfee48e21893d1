"""One sweep: every end is found, whatever fails meanwhile, and at the least cost in calls."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from planasonix import Planasonix
from planasonix.errors import AuthenticationError, ConfigurationError
from planasonix.runs.polled import lists
from planasonix.sandbox import Sandbox
from planasonix.sandbox.clock import VirtualClock
from planasonix.webhooks import Event
from planasonix.webhooks.sweep import SweepCursor, Swept, Told, find, sweep_once

CONNECTIONS = ["conn_shop_orders", "conn_hr_people"]
_numbers = iter(range(10**9))


class Dated:
    """The door in this process, with the `Date` that every served answer has."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._door = sandbox, sandbox.transport()

    def send(self, request: Any, timeout_seconds: float | None = None) -> Any:
        reply = self._door.send(request, timeout_seconds)
        return replace(reply, headers={**reply.headers, "date": formatdate(self._sandbox.clock.time(), usegmt=True)})

    def close(self) -> None: ...


class Tenant:
    """A sandbox that stands still, and what sweeps of it came to. The clock of the sweeps is its own, off by `skew`."""

    def __init__(self, *, dated: bool = True, **switches: Any) -> None:
        key = f"plnx_test_{next(_numbers)}"
        self.sandbox = Sandbox(
            clock=VirtualClock.manual(datetime(2026, 1, 1, tzinfo=UTC)), api_keys=key, busy="parallel", **switches
        )
        self.client = Planasonix(
            key,
            transport=Dated(self.sandbox) if dated else self.sandbox.transport(),
            clock=self,
            rng=random.Random(1),
            deadline_seconds=60,
        ).with_options(max_tries=2)
        self.skew = 0.0
        self.found: list[Event] = []
        self.text: str | None = None
        self.told = Told()

    def monotonic(self) -> float:
        return self.sandbox.clock.time()

    def time(self) -> float:
        return self.sandbox.clock.time() + self.skew

    def sleep(self, seconds: float) -> None:
        self.sandbox.advance(min(seconds, 1.0))

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def start(self, number: int = 0) -> str:
        self.sandbox.script(CONNECTIONS[number % 2], "stuck")
        return self.client.connections.sync(CONNECTIONS[number % 2]).id

    def backfill(self) -> str:
        begin = datetime(2025, 1, 1, tzinfo=UTC)
        made = self.client.connections.backfill(CONNECTIONS[0], start_at=begin, end_at=begin + timedelta(days=1))
        return made.id

    def sweep(self, **options: Any) -> Swept:
        """As a process that reads its cursor and writes it back, which it does after a failure, too."""
        cursor = SweepCursor.from_text(self.text)
        try:
            return sweep_once(
                self.client,
                cursor,
                options.pop("write", self.found.extend),
                self.told,
                log=lambda *_: None,
                now=self.time,
                **options,
            )
        finally:
            self.text = cursor.to_text()

    def ends(self) -> dict[str, str | None]:
        return {str(event.object_id): event.status for event in self.found}

    def calls(self) -> int:
        return self.sandbox.calls()


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def test_every_kind_of_end_is_found_once(tenant: Tenant) -> None:
    tenant.sweep()
    ids = {word: tenant.start() for word in ("succeeded", "failed", "cancelled")}
    going_on, backfill_id = tenant.start(), tenant.backfill()
    tenant.sweep()
    assert tenant.found == []
    for word, job_id in ids.items():
        tenant.sandbox.finish(job_id, word)
    for shard in tenant.client.backfills.get(backfill_id).job_ids:
        tenant.sandbox.finish(shard, "failed")
    tenant.sandbox.advance(3600)
    tenant.sweep()
    tenant.sweep()
    ends = tenant.ends()
    assert {
        ids["succeeded"]: "succeeded",
        ids["failed"]: "failed",
        ids["cancelled"]: "cancelled",
    }.items() <= ends.items()
    assert ends[backfill_id] == "failed", "no event is documented for one"
    assert going_on not in ends
    assert len(tenant.found) == len(ends)
    assert {event.type for event in tenant.found if event.kind == "backfill"} == {"backfill.failed"}


def test_what_ended_before_the_first_sweep_is_history_and_what_goes_on_is_not(tenant: Tenant) -> None:
    old, long = tenant.start(), tenant.start()
    tenant.sandbox.finish(old)
    tenant.sandbox.advance(7 * 86_400)
    tenant.sweep()
    assert tenant.found == []
    tenant.sandbox.finish(long, "failed")
    tenant.sweep()
    assert tenant.ends() == {long: "failed"}


@pytest.mark.parametrize("operation", ["jobs.list", "backfills.list", "jobs.get", "jobs.*"])
@pytest.mark.parametrize("kind", ["error", "reset", "drop", "cut"])
def test_a_call_that_fails_hides_nothing_for_good(tenant: Tenant, operation: str, kind: str) -> None:
    tenant.sweep()
    jobs = [tenant.start(number) for number in range(6)]
    tenant.sweep()
    for job_id in jobs:
        tenant.sandbox.finish(job_id)
    tenant.sandbox.advance(7200)
    tenant.sandbox.fault(operation, kind, times=50)
    failed = tenant.sweep()
    tenant.sandbox.clear_faults()
    tenant.sweep()
    assert tenant.ends() == dict.fromkeys(jobs, "succeeded")
    assert failed.calls_failed or operation == "jobs.get", "six are found in lists"


def test_an_outage_costs_few_calls(tenant: Tenant) -> None:
    tenant.sweep()
    for number in range(30):
        tenant.start(number)
    tenant.sweep()
    tenant.sandbox.fault("*", "error", times=1000)
    before = tenant.calls()
    tenant.sweep()
    assert tenant.calls() - before <= 2 * find.ERRORS_BORNE, "two tries each"


def test_a_key_that_is_refused_is_said(tenant: Tenant) -> None:
    tenant.sweep()
    tenant.sandbox.fault("*", "error", status=401, times=10)
    with pytest.raises(AuthenticationError):
        tenant.sweep()


def test_what_could_not_be_written_is_found_again(tenant: Tenant) -> None:
    tenant.sweep()
    job_id = tenant.start()
    tenant.sandbox.finish(job_id)
    tenant.sandbox.advance(60)

    def full(events: list[Event]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        tenant.sweep(write=full)
    tenant.sweep()
    assert tenant.ends() == {job_id: "succeeded"}


def test_after_a_long_pause_lists_are_asked_for_by_the_stretch(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "list_everybody", partial(lists.list_everybody, max_pages=1))
    tenant.sweep()
    jobs: list[str] = []
    for _ in range(300):
        tenant.sandbox.advance(600)
        jobs.append(tenant.start())
        tenant.sandbox.finish(jobs[-1])
    for _ in range(12):
        tenant.sandbox.advance(60)
        tenant.sweep()
    assert tenant.ends() == dict.fromkeys(jobs, "succeeded")
    assert SweepCursor.from_text(tenant.text).chunk_seconds is None, "back to one list"


def test_what_a_sweep_costs(tenant: Tenant) -> None:
    tenant.sweep()

    def cost() -> int:
        before = tenant.calls()
        tenant.sweep()
        return tenant.calls() - before

    assert cost() == 2, "a page of jobs and one of backfills"
    jobs = [tenant.start(number) for number in range(250)]
    assert cost() <= 5
    tenant.sandbox.advance(3600)
    assert cost() <= 6, "they go on: two lists of active ones tell it"
    for job_id in jobs:
        tenant.sandbox.finish(job_id)
    assert cost() <= 10, "all have ended: a list of all tells it"
    assert tenant.ends() == dict.fromkeys(jobs, "succeeded")
    tenant.sandbox.advance(3600)
    assert cost() == 2


def test_a_run_that_was_deleted_is_given_up(tenant: Tenant) -> None:
    tenant.sweep()
    job_id = tenant.start()
    tenant.sweep()
    tenant.sandbox.advance(3600)
    tenant.sandbox.forget(job_id)
    for _ in range(find.MISSES_BORNE):
        assert tenant.sweep().open in (0, 1)
    assert tenant.sweep().open == 0
    assert tenant.found == []


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99}', '{"version": 1, "marks": {"job": "x"}}'])
def test_a_cursor_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SweepCursor.from_text(text)
    assert caught.value.field == "inbox"


class Sweeps(RuleBasedStateMachine):
    """Any order of starts, ends, failing calls, kills, jumping clocks and stale lists loses no end and tells no lie."""

    @initialize(
        stale=st.sampled_from([0.0, 30.0]), paging=st.sampled_from(["plain", "short", "empty"]), dated=st.booleans()
    )
    def begin(self, stale: float, paging: str, dated: bool) -> None:
        self.tenant = Tenant(dated=dated, list_staleness_seconds=stale, paging=paging)
        self.running: list[str] = []
        self.ended: dict[str, str] = {}
        self.tenant.sweep()

    @rule(number=st.integers(0, 1), count=st.integers(1, 5))
    def start(self, number: int, count: int) -> None:
        self.running += [self.tenant.start(number) for _ in range(count)]

    @rule(which=st.integers(0, 10**6), word=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def end(self, which: int, word: str) -> None:
        if self.running:
            job_id = self.running.pop(which % len(self.running))
            self.tenant.sandbox.finish(job_id, word)
            self.ended[job_id] = word

    @rule(seconds=st.sampled_from([1, 60, 299, 1000, 100_000]))
    def time_passes(self, seconds: int) -> None:
        self.tenant.sandbox.advance(seconds)

    @rule(skew=st.sampled_from([0.0, -86_400.0, -3600.0, 3600.0, 86_400.0]))
    def clock_jumps(self, skew: float) -> None:
        self.tenant.skew = skew

    @rule(
        operation=st.sampled_from(["jobs.list", "jobs.get", "backfills.list", "*"]),
        kind=st.sampled_from(["error", "reset", "cut"]),
        times=st.integers(1, 6),
        skip=st.integers(0, 4),
    )
    def sweep_with_faults(self, operation: str, kind: str, times: int, skip: int) -> None:
        self.tenant.sandbox.fault(operation, kind, times=times, skip_first=skip)
        self.tenant.sweep()
        self.tenant.sandbox.clear_faults()

    @rule(calls=st.integers(0, 6))
    def sweep_cut_short(self, calls: int) -> None:
        left = iter([False] * calls)
        self.tenant.sweep(stop=lambda: next(left, True))

    @rule(saved=st.booleans())
    def sweep_and_be_killed(self, saved: bool) -> None:
        before = self.tenant.text
        self.tenant.sweep()
        if not saved:
            self.tenant.text = before
        self.tenant.told = Told()

    @invariant()
    def no_lie(self) -> None:
        if hasattr(self, "tenant"):
            assert self.tenant.ends().items() <= self.ended.items()

    def teardown(self) -> None:
        if not hasattr(self, "tenant"):
            return
        self.tenant.skew = 0.0
        for _ in range(4):
            self.tenant.sandbox.advance(60)
            self.tenant.sweep()
        assert self.tenant.ends() == self.ended


def test_nothing_is_lost_in_any_order() -> None:
    few = settings(max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Sweeps, settings=few)
