"""The ASGI door: Starlette in front of the same `handle`, with the live page at `/`."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .reading import MAX_BODY_BYTES
from .replies import SandboxReply

if TYPE_CHECKING:
    from .core import Sandbox

# Set by the server's protocol class; other ASGI servers lack it and see an exception instead of a spoilt connection.
CONNECTION = "planasonix.sandbox.connection"


def build_app(sandbox: Sandbox) -> Starlette:
    app = Starlette(routes=[Route("/", _page)])
    # Not a mount: a mount's pattern does not match every path that a client can send, and answers in its own words.
    app.router.default = _Door(sandbox)
    return app


async def _page(request: Request) -> Response:
    text = files("planasonix.sandbox").joinpath("page.html").read_text(encoding="utf-8")
    policy = "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
    return HTMLResponse(text, headers={"content-security-policy": policy, "cache-control": "no-store"})


class _Door:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await _read(Request(scope, receive))
        except ClientDisconnect:
            return
        # Percent-encoded, as it came: an encoded slash stays inside its segment.
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reply = self._sandbox.handle(scope["method"], path, query, headers, body)
        if reply.delay_seconds and await _left_within(reply.delay_seconds, scope, receive):
            return
        if reply.drop is None:
            await Response(reply.body, reply.status, reply.headers)(scope, receive, send)
        else:
            await _spoil(reply, scope, receive, send)


async def _read(request: Request) -> bytes:
    """The body, one byte more than allowed at most: enough for the handler to refuse it."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)[: MAX_BODY_BYTES + 1]


async def _spoil(reply: SandboxReply, scope: Scope, receive: Receive, send: Send) -> None:
    """Breaks the connection in the way that the fault asks for."""
    connection = _connection(scope)
    if reply.drop == "timeout":
        await _left_within(None, scope, receive)
        return
    if connection is None:
        raise ConnectionResetError("fault on demand: the connection broke")
    if reply.drop == "cut":
        headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        half = reply.body[: len(reply.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        connection.hang_up()
    elif reply.drop == "after":
        connection.hang_up()
    else:
        connection.reset()
    await _client_gone(receive)


def _connection(scope: Scope) -> Any:
    return scope.get("extensions", {}).get(CONNECTION)


async def _left_within(seconds: float | None, scope: Scope, receive: Receive) -> bool:
    """Holds the answer back; whether the client left, or the server ended, before the time was over."""
    connection = _connection(scope)
    if connection is not None:
        connection.held = True
    try:
        await asyncio.wait_for(_client_gone(receive), seconds)
    except TimeoutError:
        return False
    finally:
        if connection is not None:
            connection.held = False
    return True


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
