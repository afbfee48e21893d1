"""An emulator of the Planasonix API: a state machine with a virtual clock and seeded chance, behind three doors.

    from planasonix.sandbox import Sandbox

    with Sandbox("strict", seed=7).serve() as sandbox:
        sandbox.script("conn_shop_orders", "failed", duration_seconds=2)
        sandbox.fault("connections.sync", "drop", times=1)
        ...                      # point a client at sandbox.url with sandbox.api_key
        assert sandbox.jobs_started("conn_shop_orders") == 1

It shares no code with the client, so that it can contradict it. The state machine needs the standard library only;
`.asgi()` and `.serve()` need the extra `planasonix[sandbox]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .clock import VirtualClock
from .core import DEFAULT_API_KEY, Sandbox
from .replies import SandboxReply
from .switches import Switches
from .tenant import TENANT

if TYPE_CHECKING:
    from .server import RunningSandbox

__all__ = [
    "DEFAULT_API_KEY",
    "TENANT",
    "RunningSandbox",
    "Sandbox",
    "SandboxReply",
    "Switches",
    "VirtualClock",
]


def __getattr__(name: str) -> Any:
    # The server needs uvicorn, which a user of the in-process door may not have.
    if name == "RunningSandbox":
        from .server import RunningSandbox

        return RunningSandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
