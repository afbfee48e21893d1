"""What an event starts knows its place in the chain: by the event's own words, and by the inbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from planasonix.errors import FeedbackLoopError
from planasonix.runs import Provenance
from planasonix.webhooks import Arrival, Cause, Event, Inbox, deeper, note_started
from planasonix.webhooks.causes import depth_of_run

MINE = Provenance("test", "reloads what was loaded", {"flow_name": "reload"})


@pytest.fixture
def inbox(inbox_url: str) -> Iterator[Inbox]:
    with Inbox.open(inbox_url) as opened:
        yield opened


def cause_of(inbox: Inbox, job_id: str, **more: Any) -> Cause:
    body = {"id": f"evt_{job_id}", "type": "job.succeeded", "job_id": job_id, **more}
    inbox.add([Arrival.of(Event.parse(json.dumps(body).encode()))])
    cause = Cause.from_dict(json.loads(json.dumps(Cause.of(inbox.read(inbox.last_seq() - 1)[0]).to_dict())))
    assert cause is not None
    return cause


def test_a_chain_is_cut_without_a_word_of_the_api(inbox: Inbox, inbox_url: str) -> None:
    depths: list[int] = []
    for number in range(3):
        causes = [cause_of(inbox, f"job_{number}")]
        for _ in "a retry finds the same":
            told = deeper(MINE, causes, action="reload", inbox_url=inbox_url)
        depths.append(told.depth)
        note_started(causes, "reload", "job", f"job_{number + 1}", inbox_url=inbox_url)
        assert depth_of_run(inbox_url, "job", f"job_{number + 1}") == told.depth
    assert depths == [1, 2, 3]
    assert told.details == {"flow_name": "reload", "caused_by_event": "evt_job_2"}
    with pytest.raises(FeedbackLoopError, match="3 runs in a row") as caught:
        deeper(MINE, [cause_of(inbox, "job_3")], action="reload", inbox_url=inbox_url)
    assert "job_0" in str(caught.value)


def test_what_was_told_counts_where_no_inbox_is_in_reach(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    cause = cause_of(inbox, "job_1", metadata={"planasonix_depth": 2})
    assert cause.depth == 2
    away = "sqlite:////nowhere/at/all.db"
    assert deeper(MINE, [cause], action="a").depth == 3
    assert deeper(MINE, [cause], action="a", inbox_url=away).depth == 3
    assert "the inbox does not tell" in caplog.text
    note_started([cause], "a", "job", "job_2", inbox_url=away)
    assert depth_of_run(away, "job", "job_2") == 0
    for url in (None, away):
        with pytest.raises(FeedbackLoopError):
            deeper(MINE, [cause], action="a", inbox_url=url, max_depth=2)


def test_nothing_started_it(inbox_url: str) -> None:
    assert deeper(MINE, [], action="a", inbox_url=inbox_url) == MINE


def test_the_deepest_of_several_counts(inbox: Inbox, inbox_url: str) -> None:
    causes = [cause_of(inbox, "job_1"), cause_of(inbox, "job_2", metadata={"planasonix_depth": 1})]
    assert deeper(MINE, causes, action="a" * 300, inbox_url=inbox_url).depth == 2


def test_a_body_is_not_carried_along(inbox: Inbox) -> None:
    cause = cause_of(inbox, "job_1", email="ada@example.com", connection_id="conn_1", timestamp="2026-05-01T00:00:00Z")
    assert cause.to_dict() == {
        "event_id": "evt_job_1",
        "type": "job.succeeded",
        "kind": "job",
        "id": "job_1",
        "job_id": "job_1",
        "backfill_id": None,
        "connection_id": "conn_1",
        "status": "succeeded",
        "finished_at": "2026-05-01T00:00:00+00:00",
        "depth": 0,
    }


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"event_id": 1, "kind": "job", "id": "job_1"},
        {"event_id": "evt_1", "kind": "sync", "id": "job_1"},
        {"event_id": "evt_1", "kind": ["job"], "id": "job_1"},
        {"event_id": "evt_1", "kind": "job", "id": None},
    ],
)
def test_what_is_no_event_is_none(typed: dict[str, Any]) -> None:
    assert Cause.from_dict(typed) is None


@pytest.mark.parametrize("depth", [True, "2", -1, None, 1.0])
def test_a_depth_that_is_none_counts_for_nothing(depth: Any) -> None:
    cause = Cause.from_dict({"event_id": "e", "kind": "run", "id": "run_1", "depth": depth, "finished_at": "noon"})
    assert cause is not None
    assert (cause.depth, cause.event.type, cause.event.occurred_at) == (0, "run.ended", None)
