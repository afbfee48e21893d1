"""Which failures are answered with another try, table by table."""

from __future__ import annotations

import pickle

import pytest

from planasonix.engine import GaveUp, Paced, Reply, RequestStarted, ResponseReceived, RetryBudget, Retrying
from planasonix.engine.simulate import Timed
from planasonix.errors import (
    AuthenticationError,
    ConflictError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    ServerError,
    TransportError,
)

OK = Reply(200, {}, b"{}")
LOST = "lost"
REFUSED = "refused"


def answer_for(word):
    """A scripted answer: a status, "lost", "refused" (not sent) or "damaged" (a 200 without its body)."""
    if word == LOST:
        return TransportError("connection reset")
    if word == REFUSED:
        return TransportError("connection refused", outcome="not_sent")
    if word == "damaged":
        return Reply(200, {}, b'{"data": {"jo')
    return Reply(word, {}, b"{}")


# failure -> is it repeated for (read, safe, unsafe)?
REPEATED = [
    (LOST, True, True, False),
    (REFUSED, True, True, True),
    ("damaged", True, True, False),
    (408, True, True, False),
    (429, True, True, True),
    (500, True, True, False),
    (502, True, True, False),
    (503, True, True, False),
    (504, True, True, False),
    (400, False, False, False),
    (401, False, False, False),
    (403, False, False, False),
    (404, False, False, False),
    (409, False, False, False),
    (422, False, False, False),
    (501, False, False, False),
    (301, False, False, False),
]
CASES = [
    pytest.param(failure, repeat, expected, id=f"{failure}-{repeat}")
    for failure, *row in REPEATED
    for repeat, expected in zip(("read", "safe", "unsafe"), row, strict=True)
]


@pytest.mark.parametrize(("failure", "repeat", "repeated"), CASES)
def test_what_is_repeated(simulation, failure, repeat, repeated):
    outcome = simulation.call([answer_for(failure), OK], repeat)
    assert len(outcome.transport.sent) == (2 if repeated else 1)
    assert (outcome.answer is not None) == repeated


@pytest.mark.parametrize("repeat", ["read", "safe"])
def test_gives_up_after_max_tries_with_the_history(simulation, repeat):
    outcome = simulation.call([answer_for(503)] * 9, repeat, max_tries=3)
    error = outcome.error
    assert isinstance(error, ServerError)
    assert [attempt.status for attempt in error.attempts] == [503, 503, 503]
    assert [attempt.slept_seconds > 0 for attempt in error.attempts] == [True, True, False]
    assert pickle.loads(pickle.dumps(error)).attempts == error.attempts
    assert error.attempts[0].at == simulation.clock.time() - simulation.clock.now


def test_success_counts_the_failed_tries(simulation):
    outcome = simulation.call([answer_for(LOST), answer_for(503), OK])
    assert outcome.answer.attempts == 3
    assert [failure.status for failure in outcome.answer.failures] == [None, 503]


@pytest.mark.parametrize(
    ("script", "kind", "outcome"),
    [
        ([LOST, 401], AuthenticationError, "unknown"),
        ([LOST, 409], ConflictError, "unknown"),
        ([LOST, REFUSED, REFUSED], TransportError, "unknown"),
        ([502, 429, 429], RateLimitError, "unknown"),
        ([408, 404], NotFoundError, "unknown"),
        (["damaged", 401], AuthenticationError, "unknown"),
        (["damaged"] * 3, InvalidResponseError, "unknown"),
        ([429, 401], AuthenticationError, "refused"),
        ([429, 429, 429], RateLimitError, "refused"),
        ([REFUSED, REFUSED, REFUSED], TransportError, "not_sent"),
    ],
)
def test_an_unclear_try_of_a_write_stays_unclear(simulation, script, kind, outcome):
    """Whoever owns the job decides by `outcome`: a refusal after a lost answer proves nothing about the lost one."""
    result = simulation.call([answer_for(word) for word in script], "safe", max_tries=3)
    assert isinstance(result.error, kind)
    assert result.error.outcome == outcome


def test_an_unclear_try_of_a_read_means_nothing(simulation):
    outcome = simulation.call([answer_for(LOST), answer_for(404)], "read")
    assert outcome.error.outcome == "refused"


def test_same_bytes_and_headers_on_every_try(simulation):
    outcome = simulation.call(
        [answer_for(LOST), answer_for("damaged"), answer_for(503), OK],
        "safe",
        headers={"idempotency-key": "k1"},
        body=b'{"a":1}',
    )
    assert {(s.request.body, s.request.headers["idempotency-key"]) for s in outcome.transport.sent} == {
        (b'{"a":1}', "k1")
    }


def test_one_deadline_bounds_tries_and_sleeps(simulation):
    outcome = simulation.call(lambda request: Timed(4.0, answer_for(503)), deadline_seconds=10.0, max_tries=50)
    assert outcome.error is not None
    assert simulation.clock.now <= 10.0
    assert all(sent.at + sent.timeout_seconds <= 10.0 for sent in outcome.transport.sent if sent.at > 0)
    assert "deadline" in str(outcome.error)


def test_a_try_never_gets_more_time_than_is_left(simulation):
    outcome = simulation.call([Timed(100.0, OK)], deadline_seconds=5.0, timeout_seconds=30.0)
    assert outcome.transport.sent[0].timeout_seconds == 5.0
    assert simulation.clock.now == 5.0
    assert outcome.error.attempts[0].status is None


def test_queueing_counts_against_the_deadline(simulation):
    simulation.pacer.pause(60.0, simulation.clock.now)
    outcome = simulation.call([OK], deadline_seconds=10.0)
    assert isinstance(outcome.error, TransportError)
    assert outcome.error.outcome == "not_sent"
    assert outcome.transport.sent == []
    assert simulation.clock.now == 0.0, "waiting in vain helps nobody"


def test_spreading_after_a_pause_does_not_cost_the_last_moment(simulation):
    simulation.pacer.pause(9.9, simulation.clock.now)
    outcome = simulation.call([OK], deadline_seconds=10.0)
    assert outcome.answer is not None
    assert 9.9 <= outcome.sent_at[0] < 10.0


def test_without_a_deadline_it_waits(simulation):
    simulation.pacer.pause(3600.0, simulation.clock.now)
    assert simulation.call([OK], deadline_seconds=None).answer is not None
    assert simulation.clock.now >= 3600.0


@pytest.mark.parametrize("header", ["7", "7.0"])
def test_retry_after_is_never_undercut(simulation, header):
    outcome = simulation.call([Reply(429, {"retry-after": header}), OK])
    assert outcome.sent_at[1] >= 7.0


def test_retry_after_as_a_date_is_measured_against_the_servers_clock(simulation):
    headers = {"retry-after": "Wed, 21 Oct 2037 07:28:40 GMT", "date": "Wed, 21 Oct 2037 07:28:00 GMT"}
    outcome = simulation.call([Reply(429, headers), OK])
    assert 40.0 <= outcome.sent_at[1] <= 45.0


@pytest.mark.parametrize("garbage", ["soon", "-5", "nan", "1e9", "99999999", "Wed, 99 Oct", ""])
def test_garbage_in_retry_after_is_ignored(simulation, garbage):
    outcome = simulation.call([Reply(429, {"retry-after": garbage}), OK])
    assert outcome.answer is not None
    assert outcome.sent_at[1] < 1.0


def test_retry_after_holds_for_all_callers_of_the_pacer(simulation):
    simulation.call([Reply(503, {"retry-after": "20"})], max_tries=1)
    other = simulation.call([OK])
    assert other.sent_at[0] >= 20.0
    assert any(isinstance(event, Paced) and event.reason == "retry_after" for event in other.events)


def test_retry_after_of_a_conflict_holds_for_nobody_else(simulation):
    simulation.call([Reply(409, {"retry-after": "20"})])
    assert simulation.call([OK]).sent_at[0] == 0.0


def test_a_retry_after_beyond_the_deadline_fails_at_once(simulation):
    outcome = simulation.call([Reply(429, {"retry-after": "600"})], deadline_seconds=120.0)
    assert isinstance(outcome.error, RateLimitError)
    assert outcome.error.retry_after_seconds == 600.0
    assert simulation.clock.now == 0.0


def test_the_retry_budget_stops_reads_and_nothing_else(simulation):
    budget = RetryBudget(ratio=0.1, burst=3.0)
    sent = sum(
        len(simulation.call(lambda request: answer_for(503), "read", budget=budget).transport.sent) for _ in range(50)
    )
    assert sent <= 50 + 3 + 50 * 0.1
    safe = simulation.call(lambda request: answer_for(503), "safe", budget=budget)
    assert len(safe.transport.sent) == 5
    limited = simulation.call([answer_for(429), OK], "read", budget=budget)
    assert limited.answer is not None, "a 429 says when to come back, which is no outage"


def test_events_tell_the_story(simulation):
    outcome = simulation.call([answer_for(503), OK])
    assert [type(event) for event in outcome.events] == [
        RequestStarted,
        ResponseReceived,
        Retrying,
        RequestStarted,
        ResponseReceived,
    ]
    assert outcome.events[2].status == 503
    failed = simulation.call([answer_for(404)])
    assert isinstance(failed.events[-1], GaveUp)
