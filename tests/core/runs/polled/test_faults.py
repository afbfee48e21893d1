"""Some of what is looked at fails for good, or a look goes wrong once: nothing else is lost or told twice for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.engine import Page
from planasonix.errors import PagingError, ServerError
from planasonix.runs import Interest, PollCursor
from planasonix.runs.polled import cursor as cursors
from planasonix.runs.polled import find, lists
from tests.core.runs.polled.setting import INVENTORY, ORDERS, TICKETS, Setting, connections

ALL = (ORDERS, INVENTORY, TICKETS)


def lists_fail(setting: Setting, connection_id: str, status: int) -> None:
    for operation in ("jobs.list", "backfills.list"):
        setting.sandbox.fault(operation, status=status, times=100_000, connection_id=connection_id)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_two_connections_whose_lists_fail_for_good_hide_no_other(status: int) -> None:
    setting = Setting(busy="parallel")
    watched = connections(setting, 8)
    good, bad = watched[2:], watched[:2]
    setting.look(*good)
    for each in bad:
        lists_fail(setting, each, status)
    started = [setting.synced(each) for each in good]
    polled = setting.look(*watched)
    assert sorted(setting.heard.ended_ids) == sorted(started)
    assert (polled.told, polled.left, len(polled.calls_failed)) == (6, 0, 4)


@pytest.mark.parametrize("good", ALL)
def test_the_only_one_whose_lists_can_be_read_is_told_wherever_its_turn_is(setting: Setting, good: str) -> None:
    setting.look(*ALL)
    for each in set(ALL) - {good}:
        lists_fail(setting, each, 404)
    job_id = setting.synced(good)
    setting.look(*ALL)
    assert setting.heard.ended_ids == [job_id]


def test_where_one_call_takes_the_time_of_a_look_all_is_told_in_time(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.look(*ALL)
    started = {setting.synced(each) for each in ALL}
    jobs = type(setting.client.jobs)
    list_page = jobs.list_page

    def slow(self: Any, **options: Any) -> Any:
        time.sleep(0.06)
        return list_page(self, **options)

    monkeypatch.setattr(jobs, "list_page", slow)
    left = [setting.look(*ALL, seconds=0.05).lists_left for _ in range(4)]
    assert set(setting.heard.ended_ids) == started
    assert left[0] == 2
    assert any("lists of 2 connections" in line for line in setting.logged)


def test_one_that_ended_since_the_first_look_is_told_though_its_list_came_later() -> None:
    setting = Setting(busy="parallel")
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=3_600)
    job_id = setting.sync()
    setting.sandbox.advance(3_500)
    setting.sandbox.fault("jobs.list", status=500, times=1, connection_id=ORDERS)
    setting.look(ORDERS, INVENTORY)
    setting.sandbox.advance(300)
    setting.look(ORDERS, INVENTORY)
    assert setting.heard.ended_ids == [job_id]


def test_one_that_ended_before_the_first_look_is_history_though_its_list_came_later() -> None:
    setting = Setting(busy="parallel")
    setting.synced()
    setting.sandbox.advance(3_600)
    setting.sandbox.fault("jobs.list", status=500, times=1, connection_id=ORDERS)
    setting.look(ORDERS, INVENTORY)
    setting.look(ORDERS, INVENTORY)
    setting.look(ORDERS, INVENTORY)
    assert setting.heard.ended_ids == []
    assert PollCursor.from_text(setting.text).places[ORDERS].open == {}


def test_one_that_runs_for_days_at_the_first_look_is_told() -> None:
    setting = Setting(busy="parallel")
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=130_000)
    job_id = setting.sync()
    setting.sandbox.advance(129_900)
    setting.look(first_look_back_seconds=250_000)
    setting.sandbox.advance(300)
    for _ in range(5):
        setting.look(first_look_back_seconds=250_000)
        setting.sandbox.advance(60)
    assert setting.heard.ended_ids == [job_id]


@pytest.mark.parametrize("first", ["raises", "unsure"])
def test_an_old_run_is_kept_until_it_is_known_whose_it_is(setting: Setting, first: str) -> None:
    own = setting.synced()
    setting.sandbox.advance(3_600)
    asked: list[str] = []

    def interest(run_id: str) -> Interest:
        asked.append(run_id)
        if len(asked) == 1 and first == "raises":
            raise ValueError("the store is away")
        return Interest(even_if_old=True, sure=len(asked) > 1)

    setting.heard.interest = interest
    for _ in range(4):
        setting.look()
    assert setting.heard.ended_ids == [own]


def test_a_clock_that_is_wrong_once_hides_nothing(setting: Setting) -> None:
    setting.look()
    setting.look(now=lambda: setting.sandbox.clock.time() + 86_400)
    started: list[str] = []
    for _ in range(5):
        started.append(setting.synced())
        setting.look()
        setting.sandbox.advance(3_600)
    assert setting.heard.ended_ids == started


def test_a_common_list_that_begins_earlier_for_another_one_tells_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting(busy="parallel")
    watched = connections(setting, 6)
    setting.look(*watched)
    own, together = find.list_own, find._list_together  # type: ignore[attr-defined]

    def own_but_one(client: Planasonix, kind: Any, connection_id: str, *rest: Any, **options: Any) -> Any:
        if connection_id == watched[5]:
            raise ServerError("away", status_code=503)
        return own(client, kind, connection_id, *rest, **options)

    monkeypatch.setattr(find, "_list_together", lambda *_: frozenset[str]())
    monkeypatch.setattr(find, "list_own", own_but_one)
    started: list[str] = []
    for _ in range(8):
        started.append(setting.synced(watched[0]))
        setting.sandbox.advance(120)
        setting.look(*watched)
    monkeypatch.setattr(find, "_list_together", together)
    setting.look(*watched)
    assert setting.heard.ended_ids == started


def test_more_jobs_than_one_list_holds_are_listed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PAGES_AT_MOST", 2)
    setting = Setting(busy="parallel")
    setting.look()
    started: set[str] = set()
    for _ in range(5):
        started |= {setting.sync() for _ in range(90)}
        setting.sandbox.advance(2_000)
    for _ in range(20):
        setting.look()
    assert set(setting.heard.ended_ids) == started
    assert len(setting.heard.ended_ids) == len(started)
    assert any("too many for one list" in line for line in setting.logged)
    assert PollCursor.from_text(setting.text).places[ORDERS].chunk_seconds > 10_000


def test_jobs_that_no_shorter_list_holds_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PAGES_AT_MOST", 1)
    setting = Setting(busy="parallel")
    setting.look()
    for _ in range(120):
        setting.sync()
    setting.sandbox.advance(60)
    for _ in range(3):
        assert [type(error) for error in setting.look().calls_failed] == [PagingError]
    assert PollCursor.from_text(setting.text).places[ORDERS].chunk_seconds > 3_600  # less would not help


@pytest.mark.parametrize(
    ("old", "order"),
    [(1, [0, 1]), (2, [0, 1, 2]), (3, [1, 0, 2, 3])],
    ids=["a first page of one", "equal stamps", "no order"],
)
def test_backfills_that_do_not_come_newest_first_are_read_to_the_end(
    old: int, order: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page holds the old ones."""
    setting = Setting(busy="parallel")
    end = datetime.now(UTC).replace(microsecond=0)
    for days in range(old):
        setting.client.connections.backfill(ORDERS, start_at=end - timedelta(days=days + 1), end_at=end)
        setting.sandbox.advance(100.0 if old == 3 else 0.0)
    setting.sandbox.advance(100_000)
    setting.look()
    new = setting.client.connections.backfill(ORDERS, start_at=end - timedelta(days=9), end_at=end)
    setting.sandbox.advance(600)
    backfills = type(setting.client.backfills)
    list_page = backfills.list_page

    def in_this_order(self: Any, *, cursor: str | None = None, **options: Any) -> Page[Any]:
        rows = sorted(list_page(self, **options).rows, key=lambda row: row.created_at)
        rows = [rows[number] for number in order]
        return Page(tuple(rows[:old]), "2") if cursor is None else Page(tuple(rows[old:]), None)

    monkeypatch.setattr(backfills, "list_page", in_this_order)
    setting.look()
    assert setting.heard.ended_ids == [new.id]


def test_an_overlap_that_was_raised_tells_nothing_twice() -> None:
    setting = Setting(busy="parallel")
    setting.look()
    started: list[str] = []
    for _ in range(8):
        started.append(setting.synced())
        setting.sandbox.advance(120)
        setting.look()
    setting.look(overlap_seconds=3_600.0)
    assert setting.heard.ended_ids == started


def test_more_ids_than_are_remembered_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "SEEN_AT_MOST", 5)
    setting = Setting(busy="parallel")
    setting.look()
    started: list[str] = []
    for _ in range(12):
        started.append(setting.sync())
        setting.sandbox.advance(1)
    setting.sandbox.advance(60)
    for _ in range(4):
        setting.look()
    assert setting.heard.ended_ids == started
    assert len(PollCursor.from_text(setting.text).places[ORDERS].seen) == 5


def test_rows_without_a_time_move_no_mark_over_those_that_are_left_out(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "OPEN_AT_MOST", 2)
    setting.look()
    mark = PollCursor.from_text(setting.text).places[ORDERS].marks["job"]
    for _ in range(4):
        setting.synced()
    setting.sandbox.advance(2_000)
    own = find.list_own  # type: ignore[attr-defined]

    def without_times(*given: Any, **options: Any) -> Any:
        listing = own(*given, **options)
        bare = [SimpleNamespace(id=row.id, status=row.status, phase=row.phase, created_at=None) for row in listing.rows]
        return lists.Listing(listing.up_to, bare)  # type: ignore[arg-type]

    monkeypatch.setattr(find, "list_own", without_times)
    setting.look()
    assert PollCursor.from_text(setting.text).places[ORDERS].marks["job"] == mark
