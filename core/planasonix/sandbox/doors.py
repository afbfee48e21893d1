"""The in-process door: the same requests and the same accidents, without a socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from .replies import SandboxReply

if TYPE_CHECKING:
    from .core import Sandbox


class TransportRequest(Protocol):
    """What a client sends: `path` is percent-encoded, without host and query."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> Sequence[tuple[str, str]]: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes | None: ...


class AnswerTimedOut(ConnectionError, TimeoutError):
    """No answer came in time; whether the call took effect is unknown to the caller."""


class SandboxTransport:
    """Sends requests straight into a sandbox.

    Raises ConnectionRefusedError when nothing was sent, another ConnectionError when the answer was lost
    or cut, and AnswerTimedOut (a ConnectionError and a TimeoutError) when it came too late. Latency is
    slept for; on a manual clock it passes as virtual time instead.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def send(self, request: TransportRequest, timeout_seconds: float | None = None) -> SandboxReply:
        reply = self._handle(request)
        pause = _pause(reply, timeout_seconds)
        if self._sandbox.clock.is_manual:
            self._sandbox.advance(pause)
        elif pause:
            time.sleep(pause)
        return _arrived(reply, timeout_seconds)

    async def asend(self, request: TransportRequest, timeout_seconds: float | None = None) -> SandboxReply:
        reply = self._handle(request)
        pause = _pause(reply, timeout_seconds)
        if self._sandbox.clock.is_manual:
            self._sandbox.advance(pause)
        elif pause:
            await asyncio.sleep(pause)
        return _arrived(reply, timeout_seconds)

    def close(self) -> None: ...

    async def aclose(self) -> None: ...

    def _handle(self, request: TransportRequest) -> SandboxReply:
        return self._sandbox.handle(request.method, request.path, request.query, request.headers, request.body or b"")


def _pause(reply: SandboxReply, timeout_seconds: float | None) -> float:
    """How long the caller waits, on its own clock."""
    if timeout_seconds is None:
        return reply.delay_seconds
    if reply.drop == "timeout":
        return timeout_seconds
    return min(reply.delay_seconds, timeout_seconds)


def _arrived(reply: SandboxReply, timeout_seconds: float | None) -> SandboxReply:
    late = timeout_seconds is not None and reply.delay_seconds > timeout_seconds
    if reply.drop == "timeout" or late:
        raise AnswerTimedOut("no answer in time")
    if reply.drop == "refused":
        raise ConnectionRefusedError("connection refused")
    if reply.drop == "before":
        raise ConnectionResetError("connection reset")
    if reply.drop == "after":
        raise ConnectionAbortedError("the server closed the connection without an answer")
    if reply.drop == "cut":
        half = len(reply.body) // 2
        raise ConnectionAbortedError(f"the body ended after {half} of {len(reply.body)} bytes")
    return reply
