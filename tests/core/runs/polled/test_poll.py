"""Looks at runs that somebody else started: each end is told once, whatever comes between."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from planasonix.errors import AuthenticationError, ConfigurationError, PlanasonixError
from planasonix.runs import Interest, NoRoomError, PollCursor
from planasonix.runs.polled import cursor as cursors
from planasonix.runs.polled import find
from planasonix.runs.polled.look import TRIES
from tests.core.runs.polled.setting import INVENTORY, ORDERS, TICKETS, Setting

ALL = (ORDERS, INVENTORY, TICKETS)


def test_the_first_look_tells_no_history(setting: Setting) -> None:
    setting.synced()
    setting.sandbox.advance(3_600)
    setting.synced()
    setting.look()
    setting.look()
    assert setting.heard.ended_ids == []


def test_what_goes_on_at_the_first_look_is_told_when_it_ends(setting: Setting) -> None:
    job_id = setting.sync()
    setting.look()
    assert setting.heard.ended_ids == []
    setting.sandbox.advance(60)
    setting.look()
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_each_end_is_told_once_in_the_order_of_creation(setting: Setting) -> None:
    setting.look(*ALL)
    started = [setting.synced(each) for _ in range(3) for each in ALL]
    for _ in range(3):
        setting.look(*ALL)
        setting.sandbox.advance(400)
    assert sorted(setting.heard.ended_ids) == sorted(started)
    own = [run_id for run_id in setting.heard.ended_ids if run_id in started[::3]]
    assert own == started[::3]


def test_a_backfill_is_told_and_its_jobs_are_not(setting: Setting) -> None:
    setting.look()
    end = datetime.now(UTC).replace(microsecond=0)
    backfill = setting.client.connections.backfill(ORDERS, start_at=end - timedelta(days=90), end_at=end)
    setting.look()
    setting.sandbox.advance(600)
    setting.look()
    assert setting.heard.ended_ids == [backfill.id]
    assert len(setting.sandbox.jobs(ORDERS)) > 1


def test_failed_and_cancelled_ones_are_told_too(setting: Setting) -> None:
    setting.look()
    setting.sandbox.script(ORDERS, "failed")
    failed = setting.synced()
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=600)
    cancelled = setting.sync()
    setting.client.jobs.cancel(cancelled)
    setting.sandbox.advance(60)
    setting.look()
    assert setting.heard.ended_ids == [failed, cancelled]


def test_one_that_is_listed_late_is_told() -> None:
    setting = Setting(list_staleness_seconds=120.0)
    setting.look()
    late = setting.sync()
    for _ in range(10):
        setting.sandbox.advance(30)
        setting.look()
    assert setting.heard.ended_ids == [late]


def test_a_run_of_hours_holds_up_no_mark_and_is_told(setting: Setting) -> None:
    setting.look()
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=7_200)
    long = setting.sync()
    for _ in range(10):
        setting.sandbox.advance(600)
        setting.look()
    place = PollCursor.from_text(setting.text).places[ORDERS]
    assert place.marks["job"] > next(iter(place.open.values())).created_at + 3_600
    setting.sandbox.advance(2_000)
    setting.look()
    assert setting.heard.ended_ids == [long]


def test_after_a_pause_of_weeks_all_that_ended_is_told(setting: Setting) -> None:
    setting.look()
    started = []
    for _ in range(20):
        started.append(setting.synced())
        setting.sandbox.advance(86_400)
    for _ in range(25):
        setting.look()
    assert setting.heard.ended_ids == started


def test_an_odd_record_holds_up_no_other_and_is_told_of(setting: Setting) -> None:
    setting.look(*ALL)
    odd, good = setting.synced(ORDERS), setting.synced(INVENTORY)
    later = setting.synced(ORDERS)
    setting.heard.fails = lambda run_id: run_id == odd
    polled = setting.look(*ALL)
    assert (polled.told, polled.failed) == (2, 1)
    assert sorted(setting.heard.ended_ids) == sorted([good, later])
    for _ in range(TRIES - 1):
        assert setting.heard.given_up_ids == []
        setting.sandbox.advance(30)
        setting.look(*ALL)
    assert setting.heard.given_up_ids == [odd]
    assert sum("an odd record" in line for line in setting.logged) == TRIES
    assert setting.logged[-1].startswith("error: ")


def test_one_that_could_not_be_told_is_told_in_a_later_look(setting: Setting) -> None:
    setting.look()
    job_id = setting.synced()
    setting.heard.fails = lambda run_id: True
    setting.look()
    setting.heard.fails = lambda run_id: False
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_a_look_without_time_leaves_the_rest_to_the_next_and_gives_turns(setting: Setting) -> None:
    setting.look(*ALL)
    started = {setting.synced(each) for _ in range(4) for each in ALL}
    told: list[int] = []
    # Time for lists is one share of a look, so that each needs a little.
    setting.heard.fails = lambda run_id: time.sleep(0.25) is not None
    while len(setting.heard.ended_ids) < len(started):
        before = len(setting.heard.ended_ids)
        polled = setting.look(*ALL, seconds=0.4)
        told.append(len(setting.heard.ended_ids) - before)
        assert polled.left or len(setting.heard.ended_ids) == len(started)
        assert len(told) <= len(started)
    assert len(told) > 2
    assert set(setting.heard.ended_ids) == started
    assert len(setting.heard.ended_ids) == len(started)
    of = {job["id"]: job["connection_id"] for job in setting.sandbox.jobs()}
    assert {of[run_id] for run_id in setting.heard.ended_ids[:3]} == set(ALL)


def test_what_is_not_wanted_is_never_read(setting: Setting) -> None:
    setting.look()
    setting.heard.interest = lambda run_id: Interest(wanted=False)
    setting.synced()
    setting.look()
    setting.look()
    assert setting.heard.ended_ids == []
    assert setting.calls("jobs.get") == 0


def test_who_is_not_sure_is_asked_again_and_told_nothing_before(setting: Setting) -> None:
    setting.look()
    job_id = setting.synced()
    setting.heard.interest = lambda run_id: Interest(sure=False)
    setting.look()
    assert setting.heard.ended_ids == []
    setting.heard.interest = lambda run_id: Interest()
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_one_that_is_overdue_is_asked_about_once_and_told_when_it_ends(setting: Setting) -> None:
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=7_200)
    due_at = setting.sandbox.clock.time() - 1
    setting.heard.interest = lambda run_id: Interest(due_at=due_at)
    job_id = setting.sync()
    setting.look()
    setting.look()
    assert setting.heard.overdue_ids == [job_id]
    setting.sandbox.advance(7_300)
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_one_that_ended_before_the_first_look_is_told_where_that_is_wished(setting: Setting) -> None:
    own = setting.synced()
    setting.synced()
    setting.sandbox.advance(3_600)
    setting.heard.interest = lambda run_id: Interest(even_if_old=run_id == own)
    setting.look()
    setting.look()
    assert setting.heard.ended_ids == [own]


def test_an_api_that_is_away_costs_no_run_its_tries(setting: Setting) -> None:
    setting.look()
    job_id = setting.synced()
    setting.sandbox.fault("jobs.get", status=503, times=1_000)
    for _ in range(TRIES + 2):
        polled = setting.look()
        assert polled.calls_failed
    setting.sandbox.clear_faults()
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_where_no_list_can_be_read_the_look_raises(setting: Setting) -> None:
    setting.look()
    text = setting.text
    setting.sandbox.fault("jobs.list", status=503, times=1_000)
    setting.sandbox.fault("backfills.list", status=503, times=1_000)
    with pytest.raises(PlanasonixError):
        setting.look()
    setting.sandbox.clear_faults()
    assert setting.text == text
    setting.sandbox.fault("jobs.list", status=401, times=1_000)
    with pytest.raises(AuthenticationError):
        setting.look()


def test_a_list_that_fails_moves_no_mark_and_loses_nothing(setting: Setting) -> None:
    setting.look()
    job_id = setting.synced()
    setting.sandbox.fault("jobs.list", status=503, times=2, connection_id=ORDERS)
    setting.look()
    assert setting.heard.ended_ids == []
    setting.sandbox.advance(3_600)
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_a_crash_after_telling_repeats_it_and_a_stored_cursor_does_not(setting: Setting) -> None:
    setting.look()
    job_id = setting.synced()
    before = setting.text
    setting.look()
    setting.text = before  # the process died before the cursor was stored
    setting.look()
    assert setting.heard.ended_ids == [job_id, job_id]


def test_more_runs_than_a_cursor_holds_are_told_in_parts(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "OPEN_AT_MOST", 5)
    setting.look()
    started = [setting.synced() for _ in range(23)]
    setting.sandbox.advance(2_000)
    for _ in range(6):
        setting.look()
    assert setting.heard.ended_ids == started
    assert len(setting.text or "") < 2_000


def test_connections_come_and_go(setting: Setting) -> None:
    setting.look(ORDERS)
    old = setting.synced(INVENTORY)
    setting.sandbox.advance(3_600)
    setting.look(ORDERS, INVENTORY)
    new = setting.synced(INVENTORY)
    setting.look(ORDERS, INVENTORY)
    assert setting.heard.ended_ids == [new]
    assert old not in setting.heard.ended_ids
    setting.look(INVENTORY)
    assert list(PollCursor.from_text(setting.text).places) == [INVENTORY]


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[]", "{}", '{"version": 99, "places": {}, "next_turn": null, "looks_without_common": {}}'],
)
def test_a_cursor_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cursor"):
        PollCursor.from_text(text)


def test_a_cursor_survives_its_text(setting: Setting) -> None:
    setting.look(*ALL)
    setting.sync(ORDERS)
    setting.look(*ALL)
    assert PollCursor.from_text(setting.text).to_text() == setting.text
    assert json.loads(setting.text or "")["version"] == cursors.VERSION


def test_a_listener_without_room_ends_the_look_and_nothing_is_lost(setting: Setting) -> None:
    setting.look(*ALL)
    started = [setting.synced(each) for each in ALL for _ in range(2)]
    taken = setting.heard.ended_ids

    def is_full(run_id: str) -> bool:
        if len(taken) == room:
            raise NoRoomError
        return False

    setting.heard.fails = is_full
    for room in (1, 2, 2, 3, 6):
        before = len(taken)
        polled = setting.look(*ALL)
        assert (polled.told, polled.failed, polled.left) == (room - before, 0, 6 - room)
    assert sorted(taken) == sorted(started)
    assert setting.heard.given_up_ids == []
