"""Which transport a client uses, and the adapter for one that the caller brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from planasonix.client.config import ClientConfig
from planasonix.engine import Reply, Request
from planasonix.engine.drivers import AsyncTransport, Transport
from planasonix.errors import PlanasonixError, TransportError


class ClosableTransport(Transport, Protocol):
    """A transport that holds connections."""

    def close(self) -> None: ...


class ClosableAsyncTransport(AsyncTransport, Protocol):
    """A transport that holds connections."""

    async def aclose(self) -> None: ...


def open_transport(config: ClientConfig) -> ClosableTransport:
    """The transport of a blocking client."""
    if config.transport is not None:
        return GivenTransport(config)
    from planasonix.client._http import HttpxTransport

    return HttpxTransport(config)


def open_async_transport(config: ClientConfig) -> ClosableAsyncTransport:
    """The transport of an async client."""
    if config.transport is not None:
        return GivenTransport(config)
    from planasonix.client._http import AsyncHttpxTransport

    return AsyncHttpxTransport(config)


class GivenTransport:
    """Adapts `transport=`: any object whose `send` (or `asend`) takes a request and a timeout in seconds.

    It gets the request with all headers, and returns an object with `status`, `headers` and `body`. What it
    raises of `ConnectionRefusedError` counts as not sent, any other `OSError` (timeouts included) as an
    answer lost.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._inner = config.transport

    def send(self, request: Request, timeout_seconds: float) -> Reply:
        try:
            return _reply(self._inner.send(self._complete(request), timeout_seconds))
        except OSError as error:
            failure = _failure(error, request)
        raise failure

    async def asend(self, request: Request, timeout_seconds: float) -> Reply:
        try:
            return _reply(await self._inner.asend(self._complete(request), timeout_seconds))
        except OSError as error:
            failure = _failure(error, request)
        raise failure

    def close(self) -> None:
        """Nothing: whoever brought the transport closes it."""

    async def aclose(self) -> None:
        """Nothing: whoever brought the transport closes it."""

    def _complete(self, request: Request) -> Request:
        return replace(request, headers={**self._config.headers(), **request.headers})


def _reply(answer: Any) -> Reply:
    headers: Mapping[str, str] = answer.headers
    return Reply(answer.status, {name.lower(): value for name, value in headers.items()}, answer.body)


def _failure(error: OSError, request: Request) -> PlanasonixError:
    sent = not isinstance(error, ConnectionRefusedError)
    return TransportError(
        f"{request.operation}: no answer ({type(error).__name__})", outcome="unknown" if sent else "not_sent"
    )
