"""What a look costs: one list for all connections where that is cheaper, and no call a run that goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from planasonix.runs import PollCursor
from tests.core.runs.polled.setting import ORDERS, Setting, connections, foreign_jobs


@pytest.mark.parametrize(("every_seconds", "at_most"), [(4.3, 5), (0.15, 30)])
def test_fifty_connections_among_foreign_jobs(every_seconds: float, at_most: int) -> None:
    """4.3 s: twenty thousand foreign jobs a day. 0.15 s: as many in fifty minutes."""
    setting = Setting(busy="parallel")
    watched = connections(setting, 50)
    setting.look(*watched)
    foreign_jobs(setting, 2_100, every_seconds=every_seconds)
    setting.look(*watched)
    setting.sandbox.advance(30)
    before = setting.calls()
    setting.look(*watched)
    assert setting.calls() - before <= at_most


def test_runs_that_go_on_for_long_share_lists() -> None:
    setting = Setting()
    watched = connections(setting, 30)
    setting.look(*watched)
    for each in watched:
        setting.sandbox.script(each, "succeeded", duration_seconds=7_200)
    started = {setting.sync(each) for each in watched}
    for _ in range(4):
        setting.sandbox.advance(600)
        before = setting.calls()
        setting.look(*watched)
        assert setting.calls() - before <= 5
    setting.sandbox.advance(7_200)
    before = setting.calls()
    setting.look(*watched)
    assert set(setting.heard.ended_ids) == started
    assert setting.calls() - before <= 5 + len(started)


def test_where_the_common_list_would_be_too_long_each_connection_has_its_own() -> None:
    setting = Setting(busy="parallel")
    watched = connections(setting, 6)
    setting.look(*watched)
    foreign_jobs(setting, 400, every_seconds=0.1)
    job_id = setting.synced(watched[3])
    for _ in range(2):
        before = setting.calls("jobs.list")
        setting.look(*watched)
        assert setting.calls("jobs.list") - before == 1 + 1 + 6  # the clock, the first page, one for each
    assert setting.heard.ended_ids == [job_id]


def test_a_common_list_that_turned_out_too_long_is_left_alone_for_a_while() -> None:
    """Its first page covers much of the time, so that nothing could be foreseen."""
    setting = Setting(busy="parallel")
    watched = connections(setting, 6)
    setting.look(*watched)
    foreign_jobs(setting, 400, every_seconds=0.0)
    foreign_jobs(setting, 100, every_seconds=4.0)
    job_id = setting.synced(watched[3])
    setting.look(*watched)
    assert setting.heard.ended_ids == [job_id]
    assert PollCursor.from_text(setting.text).looks_without_common["job"] > 1
    before = setting.calls("jobs.list")
    setting.look(*watched)
    assert setting.calls("jobs.list") - before == 1 + 6


def test_old_backfills_are_not_listed_in_every_look() -> None:
    setting = Setting(busy="parallel")
    end = datetime.now(UTC).replace(microsecond=0)
    for n in range(350):
        setting.client.connections.backfill(ORDERS, start_at=end - timedelta(days=n + 2), end_at=end)
        setting.sandbox.advance(60)
    setting.sandbox.advance(100_000)
    setting.look()
    before = setting.calls("backfills.list")
    setting.look()
    assert setting.calls("backfills.list") - before == 1
