"""A canary key must not show up anywhere: the whole visible output of calls that go well and wrong is searched."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest

from planasonix.errors import ConfigurationError, PlanasonixError

CANARY = "plnx_live_CANARY0123456789abcdef"
BARE_CANARY = "Xq7-canary-without-a-known-prefix"


def everything_about(error):
    """What an error shows to people, loggers and other processes."""
    shown = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    shown.append(pickle.dumps(error).decode("latin-1"))
    for linked in (error.__cause__, error.__context__):
        if linked is not None:
            shown.append(everything_about(linked))
    return "\n".join(shown)


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog


def echo_key(status, body=None, **headers):
    """A server that quotes the key back in its answer."""

    def answer(server, handler):
        quoted = handler.headers["authorization"]
        text = body or '{"error": {"code": "invalid_request", "message": "no such key: %s"}}'
        server.send(handler, status, (text % quoted).encode(), **headers)

    return answer


@pytest.mark.parametrize("key", [CANARY, BARE_CANARY])
@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 302])
def test_a_server_that_quotes_the_key(make_client, answers, log, key, status):
    events = []
    client = make_client(key, answers.url, max_tries=2, on_event=events.append)
    answers.answer = lambda handler: echo_key(status, retry_after="0")(answers, handler)
    with pytest.raises(PlanasonixError) as caught:
        client.jobs.get("job_1")
    assert answers.requests[0][2]["authorization"] == f"Bearer {key}"
    shown = everything_about(caught.value) + log.text + repr(events) + repr(client) + repr(client.config)
    assert key not in shown


def test_a_server_that_quotes_the_key_as_the_request_id(make_client, answers, log):
    events = []
    client = make_client(BARE_CANARY, answers.url, max_tries=2, on_event=events.append)
    answers.answer = lambda handler: echo_key(503, x_request_id=handler.headers["authorization"])(answers, handler)
    with pytest.raises(PlanasonixError) as caught:
        client.jobs.get("job_1")
    ours = [record.getMessage() for record in log.records if record.name.startswith("planasonix")]
    assert BARE_CANARY not in everything_about(caught.value) + repr(events) + repr(ours)


@pytest.mark.parametrize("key", [CANARY, BARE_CANARY])
def test_a_damaged_or_missing_answer(make_client, answers, log, key):
    client = make_client(key, answers.url, max_tries=2)
    for body in ("<html>%s</html>", '{"data": ["%s"]}', '{"data": {"jo%s'):
        answers.answer = lambda handler, body=body: echo_key(200, body)(answers, handler)
        with pytest.raises(PlanasonixError) as caught:
            client.jobs.get("job_1")
        assert key not in everything_about(caught.value) + log.text
    answers.answer = answers.hang_up
    with pytest.raises(PlanasonixError) as caught:
        client.jobs.get("job_1")
    assert key not in everything_about(caught.value) + log.text


def test_no_connection(make_client, log):
    client = make_client(BARE_CANARY, "http://127.0.0.1:1", max_tries=2)
    with pytest.raises(PlanasonixError) as caught:
        client.jobs.get("job_1")
    assert caught.value.outcome == "not_sent"
    assert BARE_CANARY not in everything_about(caught.value) + log.text


def test_a_good_call(make_client, answers, log, capsys):
    client = make_client(BARE_CANARY, answers.url)
    client.jobs.get("x")
    client.connections.sync("c", metadata={"password": "metadata-canary-1"})
    shown = log.text + "".join(capsys.readouterr())
    assert BARE_CANARY not in shown
    assert "metadata-canary-1" not in shown


def test_a_proxys_password(make_client, log):
    client = make_client("k", "http://api.invalid", proxy="http://user:proxy-canary-1@127.0.0.1:1", max_tries=1)
    with pytest.raises(PlanasonixError) as caught:
        client.jobs.get("x")
    assert "proxy-canary-1" not in everything_about(caught.value) + log.text + repr(client.config)


def test_an_unusable_proxy(make_client, log):
    client = make_client("k", "http://api.invalid", proxy="nonsense://user:proxy-canary-1@x", max_tries=1)
    with pytest.raises(ConfigurationError) as caught:
        client.jobs.get("x")
    assert "proxy-canary-1" not in everything_about(caught.value) + log.text


def test_a_bad_key_is_not_quoted(make_client):
    with pytest.raises(ConfigurationError) as caught:
        make_client(f"{CANARY} and more")
    assert CANARY not in everything_about(caught.value)
