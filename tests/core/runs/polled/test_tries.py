"""How long a run that cannot be told is tried, and that it hides none of the others meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    PlanasonixError,
    ServerError,
)
from planasonix.runs import Interest, PollCursor
from planasonix.runs.polled import find, lists, tell
from planasonix.runs.polled.cursor import OpenRun
from planasonix.runs.polled.look import TRIES
from tests.core.runs.polled.setting import INVENTORY, ORDERS, TICKETS, Setting

ALL = (ORDERS, INVENTORY, TICKETS)
FIELDS = ("id", "status", "phase", "connection_id", "created_at", "finished_at")
FailingReads = Callable[[Setting, dict[str, PlanasonixError]], None]


@pytest.fixture
def reads_fail(monkeypatch: pytest.MonkeyPatch) -> FailingReads:
    """Lets the GET of these jobs fail, for as long as they are in the mapping."""

    def fail(setting: Setting, errors: dict[str, PlanasonixError]) -> None:
        jobs = type(setting.client.jobs)
        get = jobs.get

        def failing(self: Any, job_id: str, /) -> Any:
            if job_id in errors:
                raise errors[job_id]
            return get(self, job_id)

        monkeypatch.setattr(jobs, "get", failing)

    return fail


@pytest.mark.parametrize("error", [PermissionDeniedError("no", status_code=403), ServerError("odd", status_code=500)])
def test_one_that_cannot_be_read_for_good_is_given_up_where_others_are_read(
    reads_fail: FailingReads, error: PlanasonixError
) -> None:
    setting = Setting(busy="parallel")
    setting.look(*ALL)
    bad = setting.synced()
    reads_fail(setting, {bad: error})
    started: list[str] = []
    for _ in range(TRIES):
        assert setting.heard.given_up_ids == []
        started.append(setting.synced(INVENTORY))
        assert (polled := setting.look(*ALL)).told == 1
        assert polled.failed == 1
    assert setting.heard.ended_ids == started
    assert setting.heard.given_up_ids == [bad]


def test_one_that_alone_cannot_be_read_is_given_up_after_a_day(setting: Setting, reads_fail: FailingReads) -> None:
    setting.look()
    bad = setting.synced()
    reads_fail(setting, {bad: ServerError("odd", status_code=500)})
    for _ in range(22):
        setting.look()
        setting.sandbox.advance(3_600)
    assert setting.heard.given_up_ids == []
    for _ in range(TRIES + 3):
        setting.look()
        setting.sandbox.advance(3_600)
    assert setting.heard.given_up_ids == [bad]


def test_some_that_cannot_be_read_hide_no_later_one(reads_fail: FailingReads) -> None:
    setting = Setting(busy="parallel")
    setting.look()
    bad = [setting.synced() for _ in range(4)]
    reads_fail(setting, {each: ServerError("odd", status_code=500) for each in bad})
    setting.look()
    good = setting.synced()
    assert setting.look().told == 1
    assert setting.heard.ended_ids == [good]


def test_a_refused_key_ends_the_look(reads_fail: FailingReads) -> None:
    setting = Setting(busy="parallel")
    setting.look()
    started = [setting.synced() for _ in range(3)]
    reads_fail(setting, {started[0]: AuthenticationError("who", status_code=401)})
    polled = setting.look()
    assert (polled.told, polled.left) == (0, 2)


def test_results_that_are_away_cost_no_run_its_tries() -> None:
    setting = Setting(busy="parallel")
    setting.look()
    started = [setting.synced() for _ in range(3)]

    def away(run_id: str) -> bool:
        raise ServerError("results are away", status_code=503)

    setting.heard.fails = away
    for _ in range(TRIES + 2):
        setting.sandbox.advance(60)
        setting.look()
    assert setting.heard.given_up_ids == []
    setting.heard.fails = lambda run_id: False
    setting.look()
    assert setting.heard.ended_ids == started


def test_looks_that_follow_at_once_give_nothing_up(setting: Setting, reads_fail: FailingReads) -> None:
    setting.look()
    job_id = setting.synced()
    errors: dict[str, PlanasonixError] = {job_id: NotFoundError("not here yet", status_code=404)}
    reads_fail(setting, errors)
    for _ in range(2 * TRIES):
        setting.look()
    assert setting.heard.given_up_ids == []
    errors.clear()
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_one_that_cannot_be_read_is_not_given_up_before_it_is_due(setting: Setting, reads_fail: FailingReads) -> None:
    setting.sandbox.script(ORDERS, "stuck")
    due_at = setting.sandbox.clock.time() + 3_600
    setting.heard.interest = lambda run_id: Interest(due_at=due_at)
    job_id = setting.sync()
    setting.look()
    errors: dict[str, PlanasonixError] = {job_id: NotFoundError("gone", status_code=404)}
    reads_fail(setting, errors)
    setting.sandbox.fault("jobs.list", "error", status=200, body='{"data": [], "next_cursor": null}', times=None)
    for _ in range(2 * TRIES):
        setting.sandbox.advance(60)
        setting.look()
    assert setting.heard.given_up_ids == []
    setting.sandbox.advance(3_600)
    setting.look()
    assert (setting.heard.given_up_ids, setting.heard.overdue_ids) == ([job_id], [])


def test_what_is_known_to_be_open_is_told_however_old(setting: Setting) -> None:
    job_id = setting.synced()
    created_at = setting.sandbox.clock.time()
    setting.heard.interest = lambda run_id: Interest(even_if_old=True)
    setting.sandbox.advance(10 * 86_400)
    known = {ORDERS: {("job", job_id): OpenRun(created_at)}}
    setting.look(open_at_first=known)
    assert setting.heard.ended_ids == [job_id]
    setting.look(open_at_first=known)
    assert setting.heard.ended_ids == [job_id], "its connection was looked at before"


def test_a_look_in_which_sees_raises_is_one_try(setting: Setting) -> None:
    setting.look()
    job_id = setting.synced()

    def interest(run_id: str) -> Interest:
        raise ValueError("the store is away")

    setting.heard.interest = interest
    for _ in range(TRIES):
        assert setting.heard.given_up_ids == []
        assert setting.look().failed == 1
        setting.sandbox.advance(40)
    assert setting.heard.given_up_ids == [job_id]


def test_one_whose_owner_cannot_be_told_that_it_is_overdue_is_told_when_it_ends(setting: Setting) -> None:
    setting.sandbox.script(ORDERS, "succeeded", duration_seconds=7_200)
    due_at = setting.sandbox.clock.time() - 1
    setting.heard.interest = lambda run_id: Interest(due_at=due_at)
    asked: list[str] = []

    def overdue(connection_id: str, kind: str, run: Any) -> None:
        asked.append(run.id)
        raise ConflictError("it cannot be cancelled", status_code=409)

    setting.heard.overdue = overdue  # type: ignore[method-assign]
    job_id = setting.sync()
    for _ in range(TRIES + 3):
        setting.look()
        setting.sandbox.advance(60)
    assert asked == [job_id] * TRIES
    setting.sandbox.advance(7_300)
    setting.look()
    assert (setting.heard.ended_ids, setting.heard.given_up_ids) == ([job_id], [])


def test_tries_are_kept_in_the_cursor(setting: Setting) -> None:
    setting.look()
    setting.synced()
    setting.heard.fails = lambda run_id: True
    setting.look()
    began = setting.sandbox.clock.time()
    (one,) = PollCursor.from_text(setting.text).places[ORDERS].open.values()
    assert one.tries == 1
    assert one.failing_since == pytest.approx(began, abs=5)


def test_three_reads_in_a_row_without_an_answer_end_the_look(reads_fail: FailingReads) -> None:
    setting = Setting(busy="parallel")
    setting.look()
    started = [setting.synced() for _ in range(6)]
    reads_fail(setting, {each: ServerError("odd", status_code=500) for each in started})
    polled = setting.look()
    assert (polled.failed, polled.left) == (3, 3)


@pytest.mark.parametrize("shown", [{"id": "job_2"}, {"connection_id": INVENTORY}], ids=["id", "connection"])
def test_a_read_that_shows_another_ones_run_is_not_told(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, shown: dict[str, str]
) -> None:
    setting.look()
    setting.synced()
    jobs = type(setting.client.jobs)
    get = jobs.get
    monkeypatch.setattr(jobs, "get", lambda self, job_id: SimpleNamespace(**(_fields(get(self, job_id)) | shown)))
    assert setting.look().failed == 1
    assert setting.heard.ended_ids == []


def test_a_status_that_nobody_knows_is_read(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.look()
    job_id = setting.sync()
    own = find.list_own  # type: ignore[attr-defined]

    def with_an_odd_status(*given: Any, **options: Any) -> Any:
        listing = own(*given, **options)
        rows = [SimpleNamespace(**(_fields(row) | {"status": "resting", "phase": "running"})) for row in listing.rows]
        return lists.Listing(listing.up_to, rows)  # type: ignore[arg-type]

    setting.sandbox.advance(60)
    monkeypatch.setattr(find, "list_own", with_an_odd_status)
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_one_that_ended_in_the_second_of_the_first_look_is_told(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp of its end has whole seconds, and shows it before the look."""
    job_id = setting.sync()
    setting.look()
    began_at = PollCursor.from_text(setting.text).places[ORDERS].began_at
    setting.sandbox.advance(60)
    jobs = type(setting.client.jobs)
    get = jobs.get
    ended_at = {"finished_at": datetime.fromtimestamp(int(began_at), UTC)}
    monkeypatch.setattr(jobs, "get", lambda self, job_id: SimpleNamespace(**(_fields(get(self, job_id)) | ended_at)))
    setting.look()
    assert setting.heard.ended_ids == [job_id]


def test_active_runs_are_listed_from_the_overlap_before_the_oldest_on(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(busy="parallel")
    setting.look()
    for _ in range(5):
        setting.sandbox.script(ORDERS, "succeeded", duration_seconds=7_200)
        setting.sync()
    setting.look()
    setting.sandbox.advance(1_000)
    setting.look()
    asked: list[float] = []
    still_active = tell.still_active  # type: ignore[attr-defined]

    def noted(client: Any, kind: Any, run_ids: Any, since: float, stop: Any) -> Any:
        asked.append(since)
        return still_active(client, kind, run_ids, since, stop)

    monkeypatch.setattr(tell, "still_active", noted)
    setting.look()
    oldest = min(one.created_at for one in PollCursor.from_text(setting.text).places[ORDERS].open.values())
    assert asked == [pytest.approx(oldest - 300.0, abs=0.01)]


def _fields(run: Any) -> dict[str, Any]:
    return {name: getattr(run, name) for name in FIELDS}
