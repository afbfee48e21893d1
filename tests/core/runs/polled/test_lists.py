"""What is listed together, how far, in which time, and whose rows count."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import PlanasonixError
from planasonix.runs import PollCursor
from planasonix.runs.polled import find, lists
from tests.core.runs.polled.setting import INVENTORY, ORDERS, TICKETS, Setting, connections, foreign_jobs

ALL = (ORDERS, INVENTORY, TICKETS)


@pytest.fixture
def slow_lists(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page of jobs takes 0.06 seconds."""
    jobs = type(setting.client.jobs)
    list_page = jobs.list_page

    def slow(self: Any, **options: Any) -> Any:
        time.sleep(0.06)
        return list_page(self, **options)

    monkeypatch.setattr(jobs, "list_page", slow)


def place_of(setting: Setting, connection_id: str = ORDERS) -> Any:
    return PollCursor.from_text(setting.text).places[connection_id]


def test_where_each_connection_alone_cannot_be_listed_the_look_raises(setting: Setting) -> None:
    setting.look(*ALL)
    for operation in ("jobs.list", "backfills.list"):
        for each in ALL:
            setting.sandbox.fault(operation, status=500, times=1_000, connection_id=each)
    with pytest.raises(PlanasonixError):
        setting.look(*ALL)


@pytest.mark.usefixtures("slow_lists")
def test_a_look_that_is_cut_passes_the_turn_on(setting: Setting) -> None:
    setting.look(*ALL, seconds=0.05)
    assert PollCursor.from_text(setting.text).next_turn == sorted(ALL)[1]
    setting.look(*ALL, seconds=0.05)
    assert PollCursor.from_text(setting.text).next_turn == sorted(ALL)[2]


def test_one_that_lags_behind_has_a_list_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(busy="parallel")
    watched = connections(setting, 6)
    setting.look(*watched)
    cursor = PollCursor.from_text(setting.text)
    cursor.places[watched[2]].marks["job"] -= 50_000
    setting.text = cursor.to_text()
    together: list[set[str]] = []
    common = find.list_common  # type: ignore[attr-defined]

    def noted(client: Any, kind: Any, since_by_connection: Any, **options: Any) -> Any:
        together.append(set(since_by_connection))
        return common(client, kind, since_by_connection, **options)

    monkeypatch.setattr(find, "list_common", noted)
    setting.look(*watched)
    setting.look(*watched)
    assert together[:2] == [set(watched) - {watched[2]}, set(watched)]
    assert together[2] == set(watched)  # it has caught up


def test_a_common_list_that_takes_too_long_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(busy="parallel")
    watched = connections(setting, 20)
    setting.look(*watched)
    foreign_jobs(setting, 350, every_seconds=0.5)
    stops: list[float] = []
    monkeypatch.setattr(find.Look, "time_is_over", lambda self, share=1.0: stops.append(share) or True)
    setting.look(*watched)
    assert stops[0] < 1.0
    assert PollCursor.from_text(setting.text).looks_without_common["job"] > 1


def test_a_list_of_jobs_that_takes_too_long_asks_for_less_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(busy="parallel")
    setting.look()
    for _ in range(250):
        setting.sync()
        setting.sandbox.advance(20)
    monkeypatch.setattr(find.Look, "time_is_over", lambda self, share=1.0: True)
    before = setting.calls("jobs.list")
    polled = setting.look()
    assert setting.calls("jobs.list") - before == 1 + 2  # the clock, two of three pages
    assert polled.calls_failed
    assert place_of(setting).chunk_seconds < 3_000


def test_lists_of_active_runs_end_with_the_time() -> None:
    setting = Setting()
    assert lists.still_active(setting.client, "job", ["job_1"], 0.0, lambda: True) == frozenset()
    assert setting.calls("jobs.list") == 0


def test_the_rows_of_another_one_in_an_own_list_are_left_out(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.look()
    theirs, own = setting.synced(INVENTORY), setting.synced(ORDERS)
    jobs = type(setting.client.jobs)
    listed = jobs.list
    monkeypatch.setattr(
        jobs, "list", lambda self, **options: listed(self, **{k: v for k, v in options.items() if k != "connection_id"})
    )
    assert setting.look().failed == 0
    assert setting.heard.ended_ids == [own]
    assert theirs not in {run_id for _, run_id in place_of(setting).seen}


def test_where_rows_of_a_common_list_do_not_tell_whose_they_are_each_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting(busy="parallel")
    watched = connections(setting, 6)
    setting.look(*watched)
    job_id = setting.synced(watched[3])
    monkeypatch.setattr(lists, "shown_target", lambda row, kind: None)
    before = setting.calls("jobs.list")
    setting.look(watched[3], *watched)
    assert setting.calls("jobs.list") - before == 1 + 1 + 6
    assert job_id in setting.heard.ended_ids


def test_where_too_many_are_open_a_row_before_the_mark_does_not_move_it_back(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "OPEN_AT_MOST", 1)
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=7_200)
    setting.sync()
    setting.look()
    mark = place_of(setting).marks["job"]
    late = SimpleNamespace(
        id="job_late", status="running", phase="running", created_at=datetime.fromtimestamp(mark - 200, UTC)
    )
    monkeypatch.setattr(find, "list_own", lambda *_, now, **__: lists.Listing(now, [late]))  # type: ignore[list-item]
    setting.sandbox.advance(100)
    setting.look()
    assert place_of(setting).marks["job"] == mark
