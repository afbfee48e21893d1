"""The transport: headers, limits, time, redirects, threads, loops and forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.client.config import package_version
from planasonix.engine import Reply
from planasonix.errors import APIError, ConfigurationError, InvalidResponseError, TransportError


def test_headers(make_client, answers):
    client = make_client("the-key", answers.url + "/base/", organization_id="org_1")
    client.jobs.get("job 1")
    client.connections.sync("c", idempotency_key="k")
    method, path, headers, body = answers.requests[0]
    assert (method, path, body) == ("GET", "/base/api/v1/jobs/job%201", b"")
    assert headers["authorization"] == "Bearer the-key"
    assert headers["user-agent"] == f"planasonix-python/{package_version()}"
    assert headers["x-organization-id"] == "org_1"
    assert "idempotency-key" not in headers
    method, path, headers, body = answers.requests[1]
    assert (method, path, body) == ("POST", "/base/api/v1/connections/c/sync", b"{}")
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "k"


def test_queries_are_encoded(make_client, answers):
    answers.answer = lambda handler: answers.send(handler, 200, b'{"data": []}')
    list(make_client("k", answers.url).connections.list(search="a&b=c d/ü+"))
    assert answers.requests[0][1] == "/api/connections?search=a%26b%3Dc%20d%2F%C3%BC%2B"


def test_redirects_are_not_followed(make_client, answers):
    answers.answer = lambda handler: answers.send(handler, 307, b"", Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(APIError) as caught:
        make_client("k", answers.url).jobs.get("job_1")
    assert caught.value.status_code == 307
    assert "base URL" in caught.value.hint
    assert len(answers.requests) == 1


def test_a_refused_connection_was_not_sent(make_client):
    with pytest.raises(TransportError) as caught:
        make_client("k", "http://127.0.0.1:1", max_tries=2).connections.sync("c")
    assert caught.value.outcome == "not_sent"
    assert len(caught.value.attempts) == 2
    assert "(PLANASONIX_BASE_URL, or base_url; in use: http://127.0.0.1:1)" in str(caught.value)


def test_a_silent_server_may_have_acted(make_client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = make_client("k", url, timeout_seconds=0.2, max_tries=1)
        began = time.monotonic()
        with pytest.raises(TransportError) as caught:
            client.connections.sync("c")
    assert caught.value.outcome == "unknown"
    assert time.monotonic() - began < 1.0


def test_a_dripping_body_does_not_outlive_its_time(make_client, answers):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(60):
                handler.wfile.write(b" ")
                time.sleep(0.05)

    answers.answer = drip
    client = make_client("k", answers.url, timeout_seconds=0.4, max_tries=1)
    began = time.monotonic()
    with pytest.raises(TransportError):
        client.jobs.get("job_1")
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("body", [b'{"data": {"id": "x"', b"", b'{"data": {"id": "x"}}'], ids=["cut", "empty", "short"])
def test_a_body_shorter_than_announced_is_a_lost_answer(make_client, answers, body):
    def cut(handler):
        answers.send(handler, 200, body, content_length="100")
        handler.close_connection = True

    answers.answer = cut
    with pytest.raises(TransportError) as caught:
        make_client("k", answers.url, max_tries=2).jobs.get("x")
    assert caught.value.outcome == "unknown"
    assert len(answers.requests) == 2


def test_a_wrong_encoding_is_a_lost_answer(make_client, answers):
    answers.answer = lambda handler: answers.send(handler, 200, b"no gzip", content_encoding="gzip")
    with pytest.raises(TransportError):
        make_client("k", answers.url, max_tries=1).jobs.get("x")


def test_an_answer_without_an_id_is_not_asked_for_again(make_client, answers):
    answers.answer = lambda handler: answers.send(handler, 202, b'{"data": {"job": {"status": "queued"}}}')
    with pytest.raises(InvalidResponseError) as caught:
        make_client("k", answers.url).connections.sync("c")
    assert (caught.value.outcome, caught.value.field) == ("unknown", "id")
    assert len(answers.requests) == 1


def test_no_more_requests_at_a_time_than_connections(answers):
    answers.answer = lambda handler: (time.sleep(0.02), answers.send(handler, 200, b'{"data": {"id": "x"}}'))
    with Planasonix("k", answers.url, max_connections=3) as client:
        threads = [threading.Thread(target=client.jobs.get, args=("x",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def many():
        async with AsyncPlanasonix("k", answers.url, max_connections=3) as client:
            await asyncio.gather(*(client.jobs.get("x") for _ in range(20)))

    asyncio.run(many())
    assert len(answers.requests) == 40
    assert answers.most_active <= 3


def test_queueing_for_a_connection_ends_with_the_time(answers):
    release = threading.Event()
    answers.answer = lambda handler: (release.wait(5), answers.send(handler, 200, b'{"data": {"id": "x"}}'))
    with Planasonix("k", answers.url, max_connections=1, max_tries=1) as client:
        holder = threading.Thread(target=client.jobs.get, args=("x",))
        holder.start()
        while not answers.requests:
            time.sleep(0.005)
        with pytest.raises(TransportError, match="connections were busy") as caught:
            client.with_options(timeout_seconds=0.1).jobs.get("x")
        assert caught.value.outcome == "not_sent"
        release.set()
        holder.join()


def test_one_async_client_on_several_loops(answers):
    client = AsyncPlanasonix("k", answers.url)

    async def ask():
        return [(await client.jobs.get("x")).id for _ in range(2)]

    assert asyncio.run(ask()) == ["x", "x"]
    assert asyncio.run(ask()) == ["x", "x"]
    results = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(ask()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["x", "x"]] * 4
    asyncio.run(client.aclose())


def test_a_cancelled_task_frees_its_connection(answers):
    release = threading.Event()
    arrived = threading.Event()

    def answer(handler):
        arrived.set()
        release.wait(5)
        answers.send(handler, 200, b'{"data": {"id": "x"}}')

    answers.answer = answer

    async def main():
        async with AsyncPlanasonix("k", answers.url, max_connections=1) as client:
            task = asyncio.create_task(client.jobs.get("x"))
            await asyncio.to_thread(arrived.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            release.set()
            return (await client.jobs.get("x")).id

    assert asyncio.run(main()) == "x"


def test_a_forked_child_opens_its_own_connections(answers):
    client = Planasonix("k", answers.url)
    client.jobs.get("x")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if client.jobs.get("x").id == "x" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.jobs.get("x").id == "x"
    client.close()


def test_a_closed_client_says_so(make_client, answers):
    client = make_client("k", answers.url)
    client.jobs.get("x")
    copy = client.with_options(max_tries=1)
    close = getattr(copy, "aclose", None) or copy.close
    close()
    assert client.jobs.get("x").id == "x", "closing a copy closes nothing"
    (getattr(client, "aclose", None) or client.close)()
    with pytest.raises(ConfigurationError, match="closed"):
        client.jobs.get("x")


def test_an_ssl_context_of_ones_own_is_used(make_client, answers):
    client = make_client(
        "k", answers.url.replace("http:", "https:"), ssl_context=ssl.create_default_context(), max_tries=1
    )
    with pytest.raises(TransportError) as caught:
        client.jobs.get("x")
    assert caught.value.outcome == "not_sent"


class Given:
    """A transport of the caller's."""

    def __init__(self, answer):
        self.answer = answer
        self.seen = []

    def send(self, request, timeout_seconds):
        self.seen.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def asend(self, request, timeout_seconds):
        return self.send(request, timeout_seconds)


def test_a_given_transport_sees_the_whole_request(make_client):
    given = Given(Reply(200, {"X-Request-ID": "r"}, b'{"data": {"id": "x"}}'))
    assert make_client("the-key", transport=given).jobs.get("x").id == "x"
    assert given.seen[0].headers["authorization"] == "Bearer the-key"
    assert given.seen[0].path == "/api/v1/jobs/x"


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (ConnectionRefusedError(), "not_sent"),
        (ConnectionResetError(), "unknown"),
        (TimeoutError(), "unknown"),
        (BrokenPipeError(), "unknown"),
    ],
)
def test_what_a_given_transport_raises(make_client, raised, outcome):
    with pytest.raises(TransportError) as caught:
        make_client("k", transport=Given(raised), max_tries=1).jobs.get("x")
    assert caught.value.outcome == outcome


def test_listeners(make_client, answers, caplog):
    events = []

    def listen(event):
        events.append(type(event).__name__)
        raise RuntimeError("a broken listener")

    make_client("k", answers.url, on_event=listen).jobs.get("x")
    assert events == ["RequestStarted", "ResponseReceived"]
    assert "on_event failed" in caplog.text
