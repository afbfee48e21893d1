"""A server that quotes the caller's key in an answer that went well, and keys refused by the constructor."""

from __future__ import annotations

import io
import json
import logging
import pickle
import traceback

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.engine import Reply
from planasonix.errors import ConfigurationError, InvalidResponseError, RunFailedError
from planasonix.sandbox import Sandbox

KEY = "k3y-of-odd-form-123456"
SHOP = "conn_shop_orders"


def test_a_job_error_that_quotes_the_key(make_client, caplog):
    caplog.set_level(logging.DEBUG, "planasonix")
    sandbox = Sandbox(speed=50.0, api_keys=(KEY,))
    message = f"source said: bad token {KEY} for user"
    sandbox.script(SHOP, outcome="failed", duration_seconds=1, error={"code": "x", "message": message})
    client = make_client(KEY, transport=sandbox.transport())
    job = client.connections.sync(SHOP)
    sandbox.advance(60)
    with pytest.raises(RunFailedError) as caught:
        client.jobs.wait(job.id, timeout=30)
    ended = client.jobs.get(job.id)
    assert ended.error.message == "source said: bad token *** for user"
    shown = [str(caught.value), repr(vars(caught.value)), repr(ended), repr(ended.to_wire()), caplog.text]
    shown += [pickle.dumps(thing).decode("latin-1") for thing in (caught.value, ended)]
    assert not [text for text in shown if KEY in text]


class Quoting:
    """Answers every call with this body and these headers."""

    def __init__(self, body, **headers):
        self.reply = Reply(200, headers, body)

    def send(self, request, timeout_seconds):
        return self.reply

    async def asend(self, request, timeout_seconds):
        return self.reply


def test_a_request_id_that_quotes_the_key(make_client):
    transport = Quoting(b'{"data": {"status": "running"}}', **{"X-Request-ID": f"req-{KEY}"})
    with pytest.raises(InvalidResponseError) as caught:
        make_client(KEY, transport=transport).jobs.get("job_1")
    assert caught.value.request_id == "req-***"


@pytest.mark.parametrize("bad", ["../../admin", "a/b", "..", "job\\1", "job\n1"])
def test_a_run_id_that_could_lead_elsewhere(make_client, bad):
    client = make_client("k", transport=Quoting(json.dumps({"data": {"id": bad, "status": "queued"}}).encode()))
    calls = [
        lambda: client.jobs.get("job_1"),
        lambda: client.jobs.cancel("job_1"),
        lambda: client.backfills.get("bf_1"),
        lambda: client.start("connections.sync", "conn_1", b"{}", "key"),
        lambda: client.start("connections.backfill", "conn_1", b"{}", "key"),
    ]
    for call in calls:
        with pytest.raises(InvalidResponseError) as caught:
            call()
        assert (caught.value.field, caught.value.outcome) == ("id", "unknown")


@pytest.mark.parametrize("make", [Planasonix, AsyncPlanasonix])
def test_an_empty_key_is_not_a_missing_one(make, monkeypatch):
    monkeypatch.setenv("PLANASONIX_API_KEY", "plnx_live_unused")
    for empty in ("", "  \n"):
        with pytest.raises(ConfigurationError, match="the API key is empty") as caught:
            make(empty)
        assert "the argument api_key" in caught.value.hint
    monkeypatch.setenv("PLANASONIX_API_KEY", "")
    with pytest.raises(ConfigurationError, match="the API key is empty") as caught:
        make()
    assert "the environment variable PLANASONIX_API_KEY" in caught.value.hint
    monkeypatch.delenv("PLANASONIX_API_KEY")
    with pytest.raises(ConfigurationError, match="no API key"):
        make()


@pytest.mark.parametrize("make", [Planasonix, AsyncPlanasonix])
@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": "refused-canary-1 x"},
        {"api_key": "refused-canary-1", "max_tries": 0},
        {"api_key": "k", "proxy": "http://u:refused-canary-1@p", "max_tries": 0},
        {},
    ],
    ids=["key", "other setting", "proxy", "environment"],
)
def test_no_local_of_a_refused_constructor_shows_the_key(make, settings, monkeypatch):
    monkeypatch.setenv("PLANASONIX_API_KEY", "refused-canary-1 of the environment")
    try:
        make(**settings)
    except ConfigurationError as error:
        # The first frame is this one, whose `settings` are the test's own.
        below = error.__traceback__.tb_next
        frames = traceback.TracebackException(type(error), error, below, capture_locals=True)
    else:
        pytest.fail("not refused")
    shown = io.StringIO()
    shown.writelines(frames.format())
    assert "self = " in shown.getvalue()
    assert "refused-canary-1" not in shown.getvalue()
