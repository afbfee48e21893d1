"""What the log says of a call: sentences, and no louder than the matter."""

from __future__ import annotations

import logging

import pytest

from planasonix.client.listening import level_of, sentence
from planasonix.engine import GaveUp, Paced, RequestStarted, ResponseReceived, Retrying
from planasonix.engine.simulate import ScriptedTransport, SimulatedClock
from planasonix.errors import ConflictError, PlanasonixError, TransportError
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG, "planasonix.client")
    return caplog


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_an_ordinary_refusal_is_not_worth_a_line(make_client, log, status):
    sandbox = Sandbox()
    sandbox.fault("connections.sync", "error", times=None, status=status)
    with pytest.raises(PlanasonixError):
        make_client(DEFAULT_API_KEY, transport=sandbox.transport()).connections.sync("conn_shop_orders")
    assert {record.levelno for record in log.records} == {logging.DEBUG}
    assert "connections.sync: failed: " in log.messages[-1]


def test_lost_answers_are_told_in_sentences(make_client, log):
    clock = SimulatedClock()
    transport = ScriptedTransport(lambda request: TransportError("the answer was lost"), clock)
    client = make_client("k", transport=transport, clock=clock, max_tries=2)
    with pytest.raises(TransportError):
        client.jobs.get("job_1")
    told = [(record.levelname, record.getMessage()) for record in log.records if record.levelno > logging.DEBUG]
    assert [level for level, _ in told] == ["INFO", "INFO"]
    assert told[0][1].startswith("jobs.get: try 1 failed, the next one follows in ")
    assert told[1][1] == "jobs.get: failed after 2 tries: TransportError: the answer was lost"


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (RequestStarted("jobs.get", "GET", "/api/v1/jobs/j", 1), logging.DEBUG),
        (ResponseReceived("jobs.get", 200, "req_1", 1, 0.5), logging.DEBUG),
        (Retrying("jobs.get", 1, 2.0, "ServerError: it fell", 503, "req_1"), logging.INFO),
        (Paced("jobs.get", "poll", 2.0, "retry_after"), logging.INFO),
        (Paced("jobs.get", "poll", 2.0, "rate_limit"), logging.INFO),
        (GaveUp("jobs.get", 1, "ConflictError: busy", 409), logging.DEBUG),
        (GaveUp("jobs.get", 5, "RateLimitError: slow down", 429), logging.INFO),
        (GaveUp("jobs.get", 5, "ServerError: it fell", 503), logging.INFO),
        (GaveUp("jobs.get", 0, "TransportError: not sent"), logging.INFO),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_event_is_a_sentence(event, level):
    assert level_of(event) == level
    text = sentence(event)
    assert text.startswith("jobs.get: ")
    assert type(event).__name__ + "(" not in text
    assert "=" not in text


def test_the_status_of_the_last_answer_comes_with_the_event(make_client):
    events = []
    sandbox = Sandbox()
    sandbox.fault("connections.sync", "error", times=None, status=409)
    client = make_client(DEFAULT_API_KEY, transport=sandbox.transport(), on_event=events.append)
    with pytest.raises(ConflictError):
        client.connections.sync("conn_shop_orders")
    assert [event.status for event in events if isinstance(event, GaveUp)] == [409]
