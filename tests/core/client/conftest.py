"""A served sandbox, and clients that reach it in every way there is."""

from __future__ import annotations

import asyncio
import inspect
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.engine.simulate import SimulatedClock
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox


class Blocking:
    """An async client that can be used like a blocking one, so that one test serves both."""

    def __init__(self, wrapped: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._wrapped = wrapped
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if inspect.ismethod(value):
            return lambda *args, **kwargs: self._finish(value(*args, **kwargs))
        if type(value).__module__.startswith("planasonix.client._async"):
            return Blocking(value, self._loop)
        return value

    def _finish(self, result: Any) -> Any:
        if isinstance(result, AsyncIterator):
            return self._collect(result)
        if inspect.isawaitable(result):
            result = self._loop.run_until_complete(result)
        return Blocking(result, self._loop) if isinstance(result, AsyncPlanasonix) else result

    def _collect(self, rows: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._loop.run_until_complete(anext(rows))
            except StopAsyncIteration:
                return


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with Sandbox("strict", speed=50.0).serve() as running:
        yield running


@pytest.fixture
def sandbox(served: Any) -> Any:
    """A strict sandbox over HTTP, as new, fifty times as fast as time. Starting one takes longer than most tests."""
    served.reset()
    served.set_speed(50.0)
    return served


class NoJitter(random.Random):
    """Draws the shortest pause there is, so that tests of retries do not wait for chance."""

    def uniform(self, a: float, b: float) -> float:
        return a


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes a client of either kind; both are used like a blocking one."""
    loop = asyncio.new_event_loop()
    opened: list[Any] = []

    def make(*args: Any, **settings: Any) -> Any:
        settings.setdefault("rng", NoJitter())
        client = Planasonix(*args, **settings)
        if request.param == "async":
            client = Blocking(AsyncPlanasonix(*args, **settings), loop)
        opened.append(client)
        return client

    yield make
    for client in opened:
        (client.close if isinstance(client, Planasonix) else client.aclose)()
    loop.close()


@pytest.fixture
def client(make_client: Callable[..., Any], sandbox: Any) -> Any:
    """A client of either kind, over HTTP."""
    return make_client(DEFAULT_API_KEY, sandbox.url)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


class Answers:
    """A little HTTP server that answers as told and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Callable[[Any], None] = lambda handler: self.send(handler, 200, b'{"data": {"id": "x"}}')
        self.active = 0
        self.most_active = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with outer._lock:
                    outer.requests.append((self.command, self.path, headers, body))
                    outer.active += 1
                    outer.most_active = max(outer.most_active, outer.active)
                try:
                    outer.answer(self)
                finally:
                    with outer._lock:
                        outer.active -= 1

            do_GET = do_POST = do_PUT = do_DELETE = serve

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @staticmethod
    def send(handler: Any, status: int, body: bytes, **headers: str) -> None:
        handler.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def hang_up(handler: Any) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def answers() -> Iterator[Answers]:
    server = Answers()
    yield server
    server.stop()
