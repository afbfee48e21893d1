"""Bytes as no HTTP library would send them, to the receiver behind its real server: 2xx, 4xx or 503; it lives on."""

from __future__ import annotations

import gzip
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from planasonix.webhooks import SigningSecrets, sign
from planasonix.webhooks.inbox import Added, Arrival
from planasonix.webhooks.receiver import receiver_app
from tests.core.webhooks.serving import SECRET, until

PATH = b"/planasonix/webhooks"
BODY = b'{"id":"evt_1","type":"job.succeeded","job_id":"job_1"}'
MOST_BYTES = 2_000
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


class Served:
    """The app in a thread's server on a free port. Keeps what arrives."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        secrets = SigningSecrets(SECRET)
        app = receiver_app(self, secrets, check_store=lambda: None, most_bytes=MOST_BYTES, body_timeout_seconds=0.3)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        self._server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        until(lambda: self._server.started)

    async def submit(self, arrival: Arrival) -> Added:
        self.arrivals.append(arrival)
        return Added(len(self.arrivals), False)

    def exchange(self, data: bytes) -> list[int]:
        """The statuses of all answers to these bytes, until the server hangs up."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            try:
                connection.sendall(data)
                while part := connection.recv(65_536):
                    received += part
            except ConnectionError:
                pass  # it hung up while something was still coming
        return [int(each) for each in _STATUS.findall(received)]

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def head(*lines: bytes, method: bytes = b"POST", target: bytes = PATH, version: bytes = b"HTTP/1.1") -> bytes:
    first = method + b" " + target + b" " + version
    return b"\r\n".join([first, b"Host: receiver", b"Connection: close", *lines, b"", b""])


def signed(body: bytes = BODY, *, age: int = 0) -> list[bytes]:
    headers = sign(body, SECRET, timestamp=int(time.time()) - age)
    return [f"{name}: {value}".encode() for name, value in headers.items()]


def length(body: bytes = BODY) -> bytes:
    return b"Content-Length: %d" % len(body)


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


FORGED = b"X-Planasonix-Signature: v1=" + b"0" * 64
CHUNKED = b"Transfer-Encoding: chunked"
ZIPPED = gzip.compress(BODY)

STORED: dict[str, bytes] = {
    "plain": head(*signed(), length()) + BODY,
    "chunked": head(*signed(), CHUNKED) + chunked(BODY[:7], BODY[7:]),
    "a query": head(*signed(), length(), target=PATH + b"?a=%00&b") + BODY,
    "an escaped path": head(*signed(), length(), target=b"/planasonix/%77ebhooks") + BODY,
    "HTTP/1.0": head(*signed(), length(), version=b"HTTP/1.0") + BODY,
    "a forged signature besides": head(FORGED, *signed(), length()) + BODY,
    "the same headers twice": head(*signed(), *signed(), length()) + BODY,
    "not compressed, as said": head(*signed(), length(), b"Content-Encoding: identity") + BODY,
    "bytes that are no ASCII elsewhere": head(*signed(), length(), b"X-Other: \xff\xfe\x80") + BODY,
    "a thousand headers": head(*signed(), length(), *(b"X-%d: y" % each for each in range(1_000))) + BODY,
    "names in small letters": head(*(each.lower() for each in signed()), length()) + BODY,
    "bytes behind the body": head(*signed(), length()) + BODY + b"\x00\xffGET",
}
# What is sent, and the statuses that the first answer may have: servers differ in what they hand on.
TURNED_AWAY: dict[str, tuple[bytes, set[int]]] = {
    "unsigned": (head(length()) + BODY, {401}),
    "two times": (head(*signed(), *signed(age=10), length()) + BODY, {401}),
    "old": (head(*signed(age=900), length()) + BODY, {401}),
    "no ASCII in the signature": (
        head(*signed()[1:], b"X-Planasonix-Signature: v1=\xff\xfe", length()) + BODY,
        {400, 401},
    ),
    "no ASCII in the time": (head(signed()[0], b"X-Planasonix-Timestamp: \xb2\xb3", length()) + BODY, {400, 401}),
    "a signature of 60 kB": (head(b"X-Planasonix-Signature: " + b"v1=0," * 12_000, length()) + BODY, {400, 401, 431}),
    "another body": (head(*signed(), length()) + BODY.replace(b"job_1", b"job_2"), {401}),
    "a body without its end": (head(*signed(), length(BODY[:-1])) + BODY, {401}),
    "a longer length than the body": (head(*signed(), length(BODY + b"more")) + BODY, {408}),
    "a length and no body": (head(*signed(), length()), {408}),
    "no length and no body": (head(*signed()), {401}),
    "an oversized length": (head(*signed(), b"Content-Length: 5000"), {413}),
    "a length beyond all numbers": (head(*signed(), b"Content-Length: " + b"9" * 20), {400, 413}),
    "a length of 5000 digits": (head(*signed(), b"Content-Length: " + b"9" * 5_000), {400, 413}),
    "a negative length": (head(*signed(), b"Content-Length: -1") + BODY, {400}),
    "a length that is no number": (head(*signed(), b"Content-Length: 0x10") + BODY, {400}),
    "two lengths": (head(*signed(), length(), length(BODY[:-1])) + BODY, {400}),
    "oversized": (head(*signed(b"x" * 5_000), length(b"x" * 5_000)) + b"x" * 5_000, {413}),
    "oversized in chunks": (head(*signed(b"x" * 5_000), CHUNKED) + chunked(*[b"x" * 500] * 10), {413}),
    "a chunk of no size": (head(*signed(), CHUNKED) + b"zz\r\n" + BODY, {400}),
    "a chunk beyond all sizes": (head(*signed(), CHUNKED) + b"f" * 40 + b"\r\n" + BODY, {400}),
    "chunks without an end": (head(*signed(), CHUNKED) + chunked(BODY)[:-5], {408}),
    "another coding of the transfer": (head(*signed(), b"Transfer-Encoding: gzip") + ZIPPED, {400, 401, 501}),
    "compressed": (head(*signed(ZIPPED), length(ZIPPED), b"Content-Encoding: gzip") + ZIPPED, {415}),
    "compressed and not said": (head(*signed(), length(ZIPPED)) + ZIPPED, {401}),
    "compressed twice": (head(*signed(), length(), b"Content-Encoding: gzip, br") + BODY, {415}),
    **{
        f"the method {method.decode()}": (head(*signed(), length(), method=method) + BODY, {400, 405})
        for method in (b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"BREW", b"post")
    },
    **{
        f"the target {target.decode()[:30]}": (head(*signed(), length(), target=target) + BODY, {400, 404, 414})
        for target in (
            PATH + b"/",
            b"/" + PATH,
            PATH + b"%00",
            PATH + b"%2f",
            b"/planasonix/../planasonix/webhooks",
            b"/PLANASONIX/WEBHOOKS",
            b"/",
            b"*",
            b"/%ff%fe",
            b"/" + b"x" * 20_000,
        )
    },
    "health, posted to": (head(*signed(), length(), target=b"/healthz") + BODY, {405}),
    "a space behind a name": (head(b"X-Planasonix-Signature : v1=00", length()) + BODY, {400, 401}),
    "a line that goes on": (head(b"X-Planasonix-Signature: v1=\r\n 00", length()) + BODY, {400, 401}),
    "no version": (b"POST /planasonix/webhooks\r\n\r\n", {400, 401}),
    "another protocol's hello": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404}),
    "TLS": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x00" * 200 + b"\r\n\r\n", {400}),
    "a wish for a websocket": (
        head(
            b"Connection: upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            method=b"GET",
        ),
        {400, 403, 404, 405},
    ),
}


def lives(served: Served) -> bool:
    return served.exchange(head(*signed(), length()) + BODY) == [200]


@pytest.mark.parametrize("name", STORED)
def test_what_is_genuine_is_taken_however_it_is_framed(served: Served, name: str) -> None:
    before = len(served.arrivals)
    assert served.exchange(STORED[name])[0] == 200
    assert [each.event and each.event.event_id for each in served.arrivals[before:]] == ["evt_1"]


@pytest.mark.parametrize("name", TURNED_AWAY)
def test_the_rest_is_turned_away(served: Served, name: str, caplog: pytest.LogCaptureFixture) -> None:
    data, allowed = TURNED_AWAY[name]
    before = len(served.arrivals)
    statuses = served.exchange(data)
    assert statuses[:1] in [[each] for each in allowed], statuses
    assert len(served.arrivals) == before
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], caplog.text
    assert lives(served)


def test_a_sender_may_ask_first_whether_to_go_on(served: Served) -> None:
    assert served.exchange(head(*signed(), length(), b"Expect: 100-continue") + BODY)[-1] == 200


_word = st.binary(max_size=40)
_line = st.one_of(
    _word,
    st.tuples(st.sampled_from([b"X-Planasonix-Signature", b"X-Planasonix-Timestamp", b"Content-Length"]), _word).map(
        b": ".join
    ),
    st.sampled_from([CHUNKED, FORGED, length(), b"Content-Encoding: gzip", b"Expect: 100-continue", b"Upgrade: h2c"]),
)


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from([b"POST", b"GET", b"HEAD", b"PUT"]),
    target=st.one_of(st.just(PATH), _word.map(lambda word: b"/" + word)),
    lines=st.lists(_line, max_size=6),
    genuine=st.booleans(),
    body=st.one_of(st.just(BODY), st.just(chunked(BODY)), _word),
)
def test_any_bytes_are_answered(
    served: Served, method: bytes, target: bytes, lines: list[bytes], genuine: bool, body: bytes
) -> None:
    before = len(served.arrivals)
    own: list[Any] = signed() if genuine else []
    # The blank lines at the end close a head that the bytes in it have left open.
    statuses = served.exchange(head(*own, *lines, method=method, target=target) + body + b"\r\n\r\n\r\n")
    assert statuses
    assert all(status // 100 in (1, 2, 4) or status == 503 for status in statuses)
    assert len(served.arrivals) == before or genuine
    assert (200 in statuses) == (len(served.arrivals) > before)
