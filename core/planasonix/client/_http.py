"""The only module that imports httpx, and that not before the first request.

httpx's pool searches its whole queue for every waiter, which is quadratic under thousands of them: a
semaphore in front of it lets in only as many callers as there are connections. No httpx exception leaves
this module, neither raised nor as the cause of another one: some of them quote request headers.

It uses httpx's transports, not its clients: redirects must not be followed, cookies must not be kept, and the
client's work for them is a quarter of a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import os
import threading
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from planasonix.client.config import ClientConfig
from planasonix.client.environment_proxy import proxy_of_environment
from planasonix.engine import Reply, Request
from planasonix.errors import ConfigurationError, PlanasonixError, TransportError

if TYPE_CHECKING:
    import ssl

    import httpx

# Shorter than the five seconds after which common servers close an idle connection: a request that meets a
# closing connection is lost, and nobody can say whether it arrived.
_KEEP_ALIVE_SECONDS = 4.0


@dataclass
class _SyncPool:
    transport: httpx.HTTPTransport
    gate: threading.BoundedSemaphore


@dataclass
class _AsyncPool:
    transport: httpx.AsyncHTTPTransport
    gate: asyncio.Semaphore


@dataclass
class _Process:
    """What belongs to one process. A forked child starts with an empty one: sockets and locks are not
    shared.
    """

    pid: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    sync_pool: _SyncPool | None = None
    async_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _AsyncPool] = field(
        default_factory=weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _AsyncPool]
    )


@functools.lru_cache(maxsize=4)
def _default_ssl_context(cert_file: str | None, cert_dir: str | None) -> ssl.SSLContext:
    """httpx's own default, made once per process and environment: reading the certificate store takes 50 ms."""
    import httpx

    return httpx.create_ssl_context()


def load() -> None:
    """Import the HTTP library with what it loads at its first request, and make the TLS defaults."""
    # Whatever goes wrong here goes wrong again where it is told to whom it concerns.
    with contextlib.suppress(Exception):
        importlib.import_module("anyio._backends._asyncio")
    with contextlib.suppress(Exception):
        _default_ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


class _HttpxBase:
    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._process = _Process()
        self._closed = False

    def _here(self) -> _Process:
        if self._closed:
            raise ConfigurationError("the client is closed", hint="Create a new one; a closed client stays closed.")
        if self._process.pid != os.getpid():
            self._process = _Process()
        return self._process

    def _options(self) -> dict[str, Any]:
        import httpx

        config = self._config
        return {
            "limits": httpx.Limits(
                max_connections=config.max_connections,
                max_keepalive_connections=config.max_connections,
                keepalive_expiry=_KEEP_ALIVE_SECONDS,
            ),
            "proxy": proxy_of_environment(config.base_url) if config.proxy is None else config.proxy.reveal(),
            "verify": config.ssl_context
            or _default_ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
        }

    def _build(self, request: Request, timeout_seconds: float) -> httpx.Request:
        import httpx

        url = self._config.base_url + request.path
        if request.query:
            url += "?" + urlencode(request.query, quote_via=quote)
        timeout = httpx.Timeout(timeout_seconds, connect=min(self._config.connect_timeout_seconds, timeout_seconds))
        return httpx.Request(
            request.method,
            url,
            # Made anew for each request: the key may have been replaced.
            headers={**self._config.headers(), "accept-encoding": "gzip, deflate", **request.headers},
            content=request.body,
            extensions={"timeout": timeout.as_dict()},
        )

    def _no_free_connection(self, request: Request, timeout_seconds: float) -> TransportError:
        return TransportError(
            f"{request.operation}: all {self._config.max_connections} connections were busy for {timeout_seconds:g} s",
            outcome="not_sent",
            hint="Make fewer calls at a time, or raise max_connections.",
        )

    @property
    def _setting(self) -> str:
        # Who has forgotten to set it looks for its name, and sees that it is not the address that was meant.
        return f"(PLANASONIX_BASE_URL, or base_url; in use: {self._config.base_url})"

    def _translate(self, error: Exception, request: Request, timeout_seconds: float) -> PlanasonixError:
        """Our error for whatever the HTTP library raised. Only a failed connection proves that nothing was
        sent.
        """
        import httpx

        name, host = type(error).__name__, self._config.host
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return ConfigurationError(f"{request.operation}: no request can be made for this address", field="base_url")
        if isinstance(error, httpx.ConnectError):
            # Its text comes from the operating system or the TLS library, which have not seen a header.
            return TransportError(
                f"{request.operation}: no connection to {host}: {error}",
                outcome="not_sent",
                hint=f"Check the base URL {self._setting}, the network, the proxy and the TLS settings.",
            )
        if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            return TransportError(
                f"{request.operation}: no connection to {host} in time ({name})",
                outcome="not_sent",
                hint=f"Check the base URL {self._setting}, the network and the proxy, or raise "
                "connect_timeout_seconds.",
            )
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return TransportError(f"{request.operation}: no complete answer from {host} within {timeout_seconds:g} s")
        return TransportError(f"{request.operation}: the answer from {host} was lost on the way ({name})")


class HttpxTransport(_HttpxBase):
    """Blocking requests over one pool of connections, from any number of threads."""

    def send(self, request: Request, timeout_seconds: float) -> Reply:
        """Send and read the whole answer. Raises `TransportError`."""
        pool = self._pool()
        give_up_at = time.monotonic() + timeout_seconds
        if not pool.gate.acquire(timeout=timeout_seconds):
            raise self._no_free_connection(request, timeout_seconds)
        try:
            return self._exchange(pool.transport, request, max(give_up_at - time.monotonic(), 0.001))
        except PlanasonixError:
            raise
        except Exception as error:
            failure = self._translate(error, request, timeout_seconds)
        finally:
            pool.gate.release()
        # Outside the handler, so that the library's exception is not attached as context.
        raise failure

    def close(self) -> None:
        """Close the pool. Later calls raise `ConfigurationError`."""
        process, self._closed = self._process, True
        if process.pid == os.getpid() and process.sync_pool is not None:
            process.sync_pool.transport.close()

    def _exchange(self, transport: httpx.HTTPTransport, request: Request, timeout_seconds: float) -> Reply:
        stop_at = time.monotonic() + timeout_seconds
        response = transport.handle_request(self._build(request, timeout_seconds))
        try:
            chunks: list[bytes] = []
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                # The read timeout holds for one chunk; a body that drips must not outlive the deadline.
                if time.monotonic() > stop_at:
                    raise TimeoutError
            return Reply(response.status_code, dict(response.headers.items()), b"".join(chunks))
        finally:
            response.close()

    def _pool(self) -> _SyncPool:
        process = self._here()
        with process.lock:
            if process.sync_pool is None:
                process.sync_pool = _SyncPool(self._open(), threading.BoundedSemaphore(self._config.max_connections))
            return process.sync_pool

    def _open(self) -> httpx.HTTPTransport:
        import httpx

        try:
            return httpx.HTTPTransport(**self._options())
        except (ValueError, TypeError, ImportError, OSError, httpx.InvalidURL) as error:
            reason = type(error).__name__
        raise _unusable(reason)


class AsyncHttpxTransport(_HttpxBase):
    """Requests on an event loop. Each loop gets its own pool, because connections belong to the loop they
    were made on.
    """

    async def asend(self, request: Request, timeout_seconds: float) -> Reply:
        """Send and read the whole answer. Raises `TransportError`."""
        pool = self._pool()
        admitted = False
        try:
            async with asyncio.timeout(timeout_seconds), pool.gate:
                admitted = True
                return await self._exchange(pool.transport, request, timeout_seconds)
        except PlanasonixError:
            raise
        except Exception as error:
            if admitted:
                failure = self._translate(error, request, timeout_seconds)
            else:
                failure = self._no_free_connection(request, timeout_seconds)
        # Outside the handler, so that the library's exception is not attached as context.
        raise failure

    async def aclose(self) -> None:
        """Close the pools of all loops. Later calls raise `ConfigurationError`."""
        process, self._closed = self._process, True
        if process.pid != os.getpid():
            return
        here = asyncio.get_running_loop()
        for loop, pool in list(process.async_pools.items()):
            if loop is here:
                await pool.transport.aclose()
            elif loop.is_running():
                # A connection can only be closed on its own loop; nobody waits for it here.
                with contextlib.suppress(RuntimeError):
                    asyncio.run_coroutine_threadsafe(pool.transport.aclose(), loop)

    async def _exchange(self, transport: httpx.AsyncHTTPTransport, request: Request, timeout_seconds: float) -> Reply:
        response = await transport.handle_async_request(self._build(request, timeout_seconds))
        try:
            return Reply(response.status_code, dict(response.headers.items()), await response.aread())
        finally:
            await response.aclose()

    def _pool(self) -> _AsyncPool:
        process, loop = self._here(), asyncio.get_running_loop()
        with process.lock:
            pool = process.async_pools.get(loop)
            if pool is None:
                pool = _AsyncPool(self._open(), asyncio.Semaphore(self._config.max_connections))
                process.async_pools[loop] = pool
            return pool

    def _open(self) -> httpx.AsyncHTTPTransport:
        import httpx

        try:
            return httpx.AsyncHTTPTransport(**self._options())
        except (ValueError, TypeError, ImportError, OSError, httpx.InvalidURL) as error:
            reason = type(error).__name__
        raise _unusable(reason)


def _unusable(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the connection settings cannot be used ({reason})",
        field="proxy",
        hint="Check proxy (http://host:port), ssl_context, and the environment's proxy and certificate variables.",
    )
