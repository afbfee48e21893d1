"""A thousand starts while 30 % of all calls go wrong, before and after their effect: one job per intent (G1)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

STARTS = 1_000
# Where sockets or long lists make each of them dearer.
FEWER_STARTS = 400


def check_exactly_one_each(storm: Any, wishes: list[Any]) -> None:
    """Every wish has its own job and no other, and knows it."""
    assert storm.sandbox.jobs_started() == len(wishes)
    assert {wish.intent: [wish.run_id] for wish in wishes} == storm.jobs_by_intent()
    assert storm.sandbox.cancels() == 0
    assert 0.22 < storm.share_struck() < 0.38


def check_nobody_came_too_early(calls: list[Any]) -> None:
    """No call came before the end of a pause that any caller of the key was asked for."""
    not_before, pauses = 0.0, 0
    for call in calls:
        assert call.at >= not_before
        if call.retry_after is not None:
            pauses += 1
            seconds = call.retry_after.isdigit()
            until = call.at + int(call.retry_after) if seconds else parsedate_to_datetime(call.retry_after).timestamp()
            not_before = max(not_before, until)
    assert pauses > 10


@pytest.mark.parametrize("profile", ["strict", "rich"])
@pytest.mark.parametrize("client", ["sync", "async"])
def test_keys_honoured(make_storm: Any, profile: str, client: str) -> None:
    storm = make_storm(profile)
    wishes = storm.wishes(STARTS, storm.connections(STARTS))
    storm.break_out()
    storm.fulfil(client, wishes, idempotency="honoured")
    check_exactly_one_each(storm, wishes)
    assert all(wish.owned for wish in wishes)
    if client == "async":
        # On a loop nothing happens between an answer and what is made of it; threads have a test of their own.
        check_nobody_came_too_early(storm.door.calls)


@pytest.mark.parametrize(("profile", "client"), [("strict", "async"), ("rich", "sync")])
def test_keys_honoured_and_all_on_one_connection(make_storm: Any, profile: str, client: str) -> None:
    storm = make_storm(profile, busy="parallel")
    wishes = storm.wishes(FEWER_STARTS, ["conn_shop_orders"])
    storm.break_out()
    storm.fulfil(client, wishes, idempotency="honoured")
    check_exactly_one_each(storm, wishes)
    assert all(wish.owned for wish in wishes)


@pytest.mark.parametrize(("profile", "client"), [("strict", "sync"), ("rich", "async")])
def test_keys_honoured_over_sockets(make_storm: Any, profile: str, client: str) -> None:
    storm = make_storm(profile, served=True)
    wishes = storm.wishes(FEWER_STARTS, storm.connections(FEWER_STARTS))
    storm.break_out()
    storm.fulfil(client, wishes, idempotency="honoured")
    check_exactly_one_each(storm, wishes)
    assert all(wish.owned for wish in wishes)


@pytest.mark.parametrize(
    ("server", "told", "profile", "client"),
    [
        ("ignored", "ignored", "strict", "sync"),
        ("ignored", "ignored", "rich", "async"),
        ("ignored", "unproven", "strict", "async"),
        ("ignored", "unproven", "rich", "sync"),
        ("honoured", "unproven", "strict", "sync"),
    ],
)
def test_keys_not_trusted(make_storm: Any, server: str, told: str, profile: str, client: str) -> None:
    """Where each has a connection to itself, looking finds the job whose answer was lost, and nothing else."""
    # A second job would start at once: nothing but our own looking prevents it.
    storm = make_storm(profile, idempotency=server, busy="parallel")
    wishes = storm.wishes(STARTS, storm.connections(STARTS))
    storm.break_out()
    storm.fulfil(client, wishes, idempotency=told)
    check_exactly_one_each(storm, wishes)


@pytest.mark.parametrize(
    ("told", "profile", "client", "claims"),
    [
        ("ignored", "strict", "sync", False),
        ("unproven", "strict", "async", True),
        ("unproven", "rich", "async", False),
        ("ignored", "rich", "sync", True),
    ],
)
def test_keys_ignored_and_ten_on_each_connection(
    make_storm: Any, told: str, profile: str, client: str, claims: bool
) -> None:
    """Where a list shows the jobs of others too, some outcomes stay unknown. Still nobody starts a second job."""
    storm = make_storm(profile, idempotency="ignored", busy="parallel")
    connections = storm.connections(FEWER_STARTS // 10)
    wishes = storm.wishes(FEWER_STARTS, connections, claims=claims, give_up_when_unknown=True)
    storm.break_out()
    storm.fulfil(client, wishes, idempotency=told)
    jobs = storm.jobs_by_intent()
    assert all(len(ids) == 1 for ids in jobs.values())
    owners = [wish for wish in wishes if wish.how is not None and wish.owned]
    assert len(owners) > FEWER_STARTS / 2
    assert all(jobs[wish.intent] == [wish.run_id] for wish in owners)
    assert all(wish.unknown for wish in wishes if wish.how is None)
    assert storm.sandbox.cancels() == 0
