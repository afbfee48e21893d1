"""The HTTP door: uvicorn in a thread, with a protocol class that can break connections."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .asgi import CONNECTION

if TYPE_CHECKING:
    from types import TracebackType

    from .core import Sandbox

_START_SECONDS = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BreakableProtocol(H11Protocol):
    """Tells the app which connection a request came on, so that a fault can break exactly that one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held = False
        app = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CONNECTION] = self
            await app(scope, receive, send)

        self.app = with_connection  # pyright: ignore[reportAttributeAccessIssue]

    def shutdown(self) -> None:
        """The end of the server does not wait for an answer that is held back on purpose."""
        if self.held:
            self.reset()
        else:
            super().shutdown()

    def hang_up(self) -> None:
        """Sends what is written, then closes without a word."""
        self.transport.close()

    def reset(self) -> None:
        """Closes with a TCP reset."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


def uvicorn_config(sandbox: Sandbox, **options: Any) -> uvicorn.Config:
    """What both the thread and the command line serve with. No access log: it would repeat the journal."""
    return uvicorn.Config(
        sandbox.asgi(),
        http=BreakableProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
        # Longer than clients keep idle connections, so that none is closed just as it is used again.
        timeout_keep_alive=75,
        **options,
    )


class RunningSandbox:
    """A sandbox that is being served. Unknown attributes are those of the `Sandbox` behind it."""

    def __init__(self, sandbox: Sandbox, host: str, port: int) -> None:
        self.sandbox = sandbox
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # The protocol number is what makes asyncio turn Nagle off on accepted connections.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        name = f"[{host}]" if ":" in host else host
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self.url = f"http://{name}:{self.port}"
        self._server = uvicorn.Server(uvicorn_config(sandbox))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="planasonix-sandbox", daemon=True
        )
        self._thread.start()
        self._wait_until_started()

    @property
    def job_url_template(self) -> str:
        """For the client's setting of the same name: the live page, opened at a job or a backfill."""
        return self.url + "/#/{kind}s/{id}"

    def stop(self) -> None:
        """Ends server and delivery thread and frees the port."""
        self._server.should_exit = True
        self._thread.join(timeout=_START_SECONDS)
        self._socket.close()
        self.sandbox.close()

    def _wait_until_started(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                self._socket.close()
                raise RuntimeError("the sandbox server did not start")
            time.sleep(0.005)

    def __enter__(self) -> RunningSandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.sandbox, name)
