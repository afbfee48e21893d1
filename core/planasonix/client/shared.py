"""What a client shares with its copies, and with other clients of the same credential."""

from __future__ import annotations

from dataclasses import dataclass

from planasonix.client.config import ClientConfig
from planasonix.client.server_clock import ServerClock
from planasonix.client.transport import ClosableAsyncTransport, ClosableTransport, open_async_transport, open_transport
from planasonix.engine import Pacer, RetryBudget, pacer_for


@dataclass(frozen=True, slots=True)
class Shared:
    """Connections and retry budget of one client and its copies; the pacer of all clients with this
    credential.
    """

    transport: ClosableTransport
    pacer: Pacer
    budget: RetryBudget
    server_clock: ServerClock

    @classmethod
    def open(cls, config: ClientConfig) -> Shared:
        return cls(open_transport(config), pacer_for((config.share_key, config.clock)), RetryBudget(), ServerClock())


@dataclass(frozen=True, slots=True)
class AsyncShared:
    """Connections and retry budget of one client and its copies; the pacer of all clients with this
    credential.
    """

    transport: ClosableAsyncTransport
    pacer: Pacer
    budget: RetryBudget
    server_clock: ServerClock

    @classmethod
    def open(cls, config: ClientConfig) -> AsyncShared:
        return cls(
            open_async_transport(config), pacer_for((config.share_key, config.clock)), RetryBudget(), ServerClock()
        )
