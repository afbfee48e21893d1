from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planasonix.webhooks import SigningSecrets, sign
from planasonix.webhooks.inbox import Added, Arrival, InboxUnavailable
from planasonix.webhooks.receiver import receiver_app
from planasonix.webhooks.receiver.refusals import RefusalLog

SECRET = "whsec_0123456789abcdef"
BODY = b'{"id":"evt_1","type":"job.succeeded","job_id":"job_1"}'


class Writer:
    """Keeps arrivals in memory; `trouble` is raised instead."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.arrivals: list[Arrival] = []
        self.trouble = trouble
        self.hold: asyncio.Event | None = None

    async def submit(self, arrival: Arrival) -> Added:
        if self.hold is not None:
            await self.hold.wait()
        if self.trouble is not None:
            raise self.trouble
        self.arrivals.append(arrival)
        return Added(len(self.arrivals), len(self.arrivals) > 1)


def client_of(writer: Writer, secrets: SigningSecrets | None = None, **options: Any) -> httpx.AsyncClient:
    app = receiver_app(writer, secrets or SigningSecrets(SECRET), **options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://receiver")


def ask(client: httpx.AsyncClient, method: str = "POST", **request: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        async with client:
            return await client.request(method, "/planasonix/webhooks", **request)

    return asyncio.run(run())


def signed(body: bytes = BODY, **more: str) -> dict[str, Any]:
    return {"content": body, "headers": sign(body, SECRET, timestamp=int(time.time())) | more}


def test_a_genuine_delivery_is_stored_and_its_repetition_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer()
    caplog.set_level(logging.INFO)
    assert [ask(client_of(writer), **signed()).status_code for _ in range(2)] == [200, 200]
    assert [arrival.event and arrival.event.event_id for arrival in writer.arrivals] == ["evt_1", "evt_1"]
    assert "evt_1 stored, secret 0" in caplog.text
    assert SECRET not in caplog.text
    assert "job_1" not in caplog.text


def test_genuine_but_unreadable_is_kept_as_a_dead_letter() -> None:
    writer = Writer()
    assert ask(client_of(writer), **signed(b"not json")).status_code == 200
    assert writer.arrivals[0].body == b"not json"


async def _chunks() -> Any:
    for _ in range(3):
        yield b"x" * 50


@pytest.mark.parametrize(
    ("status", "request_of"),
    [
        (401, lambda: {"content": BODY}),
        (401, lambda: signed() | {"content": BODY + b" "}),
        (401, lambda: {"content": BODY, "headers": sign(BODY, SECRET, timestamp=int(time.time()) - 900)}),
        (401, lambda: {"content": BODY, "headers": sign(BODY, SECRET, timestamp=None)}),
        (405, lambda: {"method": "GET"}),
        (415, lambda: signed(gzip.compress(BODY), **{"Content-Encoding": "gzip"})),
        (413, lambda: signed(b"x" * 101)),
        (413, lambda: signed() | {"content": _chunks()}),
        (400, lambda: signed(**{"Content-Length": "-1"})),
    ],
)
def test_what_is_not_genuine_gets_an_empty_refusal(status: int, request_of: Callable[[], dict[str, Any]]) -> None:
    writer = Writer()
    reply = ask(client_of(writer, most_bytes=100), **request_of())
    assert (reply.status_code, reply.content, writer.arrivals) == (status, b"", [])


@pytest.mark.parametrize(
    ("scheme", "timestamp", "told"),
    [("timestamped", None, "genuine in the scheme 'body'"), ("body", 0, "genuine in the scheme 'timestamped'")],
)
def test_the_log_tells_that_the_other_scheme_is_to_be_set(
    scheme: str, timestamp: int | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = sign(BODY, SECRET, timestamp=timestamp if timestamp is None else int(time.time()))
    reply = ask(client_of(Writer(), scheme=scheme), content=BODY, headers=headers)
    assert reply.status_code == 401
    assert told in caplog.text
    caplog.clear()
    ask(client_of(Writer(), scheme=scheme), content=BODY + b" ", headers=headers)
    assert "genuine" not in caplog.text


def test_the_log_tells_what_to_do_about_an_unknown_secret(caplog: pytest.LogCaptureFixture) -> None:
    headers = sign(BODY, "whsec_another_one_of_24_bytes", timestamp=int(time.time()))
    assert ask(client_of(Writer()), content=BODY, headers=headers).status_code == 401
    assert "no known secret signed it" in caplog.text


@pytest.mark.parametrize("trouble", [InboxUnavailable("full"), RuntimeError("boom")])
def test_a_store_that_is_away_has_the_sender_come_again(trouble: Exception) -> None:
    reply = ask(client_of(Writer(trouble)), **signed())
    assert (reply.status_code, reply.headers["retry-after"], reply.content) == (503, "5", b"")


def test_while_rotating_an_unmatched_signature_is_asked_for_again() -> None:
    body = {"content": BODY, "headers": sign(BODY, "whsec_another_one_of_24_bytes", timestamp=int(time.time()))}
    soon = datetime.now(UTC) + timedelta(minutes=5)
    assert ask(client_of(Writer(), SigningSecrets(SECRET, rotating_until=soon)), **body).status_code == 503
    past = soon - timedelta(hours=1)
    assert ask(client_of(Writer(), SigningSecrets(SECRET, rotating_until=past)), **body).status_code == 401


def test_too_many_at_once_are_turned_away() -> None:
    async def run() -> list[int]:
        writer = Writer()
        writer.hold = asyncio.Event()
        async with client_of(writer, most_at_once=3) as client:
            posts = [asyncio.create_task(client.post("/planasonix/webhooks", **signed())) for _ in range(5)]
            done, _ = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
            assert {post.result().status_code for post in done} == {503}
            writer.hold.set()
            return sorted(reply.status_code for reply in await asyncio.gather(*posts))

    assert asyncio.run(run()) == [200, 200, 200, 503, 503]


def test_a_sender_that_stalls_is_let_go() -> None:
    async def stalling() -> Any:
        yield b"x"
        await asyncio.sleep(60)

    reply = ask(client_of(Writer(), body_timeout_seconds=0.05), **(signed() | {"content": stalling()}))
    assert reply.status_code == 408


def test_a_delivery_without_a_signature_is_refused_before_its_body_is_read() -> None:
    async def unread() -> Any:
        raise AssertionError("its body is read")
        yield b""

    reply = ask(client_of(Writer()), content=unread())
    assert (reply.status_code, reply.headers["connection"]) == (401, "close")


def test_a_flood_of_forged_deliveries_is_a_line_and_a_sum_and_hides_no_other_reason(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RefusalLog.__init__, "__defaults__", (0.3,))

    async def flood() -> None:
        async with client_of(Writer()) as client:
            forged = {
                "content": BODY,
                "headers": sign(BODY, "whsec_another_one_of_24_bytes", timestamp=int(time.time())),
            }
            for _ in range(20):
                assert (await client.post("/planasonix/webhooks", **forged)).status_code == 401
            await client.post("/planasonix/webhooks", content=BODY)
            await asyncio.sleep(0.5)

    asyncio.run(flood())
    told = [record.getMessage() for record in caplog.records if record.name.startswith("planasonix")]
    assert len(told) == 3
    assert "no known secret" in told[0]
    assert "is missing" in told[1]
    assert "19 more in 0.3 s" in told[2]


def test_health_tells_whether_the_store_is_there() -> None:
    def away() -> None:
        raise InboxUnavailable("postgresql://me:hidden@h is away")

    async def run(check: Callable[[], object]) -> httpx.Response:
        async with client_of(Writer(), check_store=check) as client:
            return await client.get("/healthz")

    assert asyncio.run(run(lambda: 1)).status_code == 200
    reply = asyncio.run(run(away))
    assert (reply.status_code, reply.content) == (503, b"")


_header = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=80).map(lambda t: t.encode("latin-1"))


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["POST", "PUT", "GET", "HEAD", "X"]),
    content=st.binary(max_size=200),
    signature=_header,
    stamp=_header,
    encoding=_header,
    genuine=st.booleans(),
)
def test_whatever_comes_is_answered_2xx_4xx_or_503(
    method: str, content: bytes, signature: bytes, stamp: bytes, encoding: bytes, genuine: bool
) -> None:
    headers: Any = {b"X-Planasonix-Signature": signature, b"X-Planasonix-Timestamp": stamp}
    headers |= {b"Content-Encoding": encoding}
    if genuine:
        headers = sign(content, SECRET, timestamp=int(time.time()))
    status = ask(client_of(Writer()), method, content=content, headers=headers).status_code
    assert status == (200 if genuine and method == "POST" else status)
    assert status // 100 in (2, 4) or status == 503
