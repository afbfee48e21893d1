"""What a client shares with its copies, and with other clients of the same credential."""

from __future__ import annotations

from dataclasses import dataclass

from planasonix.client.config import ClientConfig
from planasonix.client.secret import Secret
from planasonix.client.server_clock import ServerClock
from planasonix.client.transport import ClosableAsyncTransport, ClosableTransport, open_async_transport, open_transport
from planasonix.engine import Pacer, RetryBudget, budget_for, pacer_for


@dataclass(slots=True)
class Shared:
    """Connections of one client and its copies; pacer and retry budget of all clients with this credential."""

    transport: ClosableTransport
    pacer: Pacer
    budget: RetryBudget
    server_clock: ServerClock
    key: Secret

    @classmethod
    def open(cls, config: ClientConfig) -> Shared:
        key = (config.share_key, config.clock)
        return cls(open_transport(config), pacer_for(key), budget_for(key), ServerClock(), config.api_key.in_force)

    def follow(self, config: ClientConfig) -> None:
        """Go over to the budgets of the key that is in force, once the one before was replaced."""
        if self.key is not config.api_key.in_force:
            self.key = config.api_key.in_force
            key = (config.share_key, config.clock)
            self.pacer, self.budget = pacer_for(key), budget_for(key)


@dataclass(slots=True)
class AsyncShared:
    """Connections of one client and its copies; pacer and retry budget of all clients with this credential."""

    transport: ClosableAsyncTransport
    pacer: Pacer
    budget: RetryBudget
    server_clock: ServerClock
    key: Secret

    @classmethod
    def open(cls, config: ClientConfig) -> AsyncShared:
        key = (config.share_key, config.clock)
        return cls(
            open_async_transport(config), pacer_for(key), budget_for(key), ServerClock(), config.api_key.in_force
        )

    def follow(self, config: ClientConfig) -> None:
        """Go over to the budgets of the key that is in force, once the one before was replaced."""
        if self.key is not config.api_key.in_force:
            self.key = config.api_key.in_force
            key = (config.share_key, config.clock)
            self.pacer, self.budget = pacer_for(key), budget_for(key)
