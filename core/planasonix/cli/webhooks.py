"""`planasonix webhooks`: subscriptions, the receiver, and what it stored."""

from __future__ import annotations

import click

from planasonix.cli.lazy_group import LazyGroup

COMMANDS = {
    "create": ("planasonix.cli.webhooks_create", "Subscribe a URL to events, once."),
    "list": ("planasonix.cli.webhooks_list", "List the subscriptions."),
    "probe": ("planasonix.cli.webhooks_probe", "Find out how the tenant signs."),
    "replay": ("planasonix.cli.webhooks_replay", "Hand stored events to a consumer again."),
    "rotate": ("planasonix.cli.webhooks_rotate", "Change a signing secret without losing a delivery."),
    "serve": ("planasonix.cli.webhooks_serve", "Receive deliveries into an inbox."),
    "sweep": ("planasonix.cli.webhooks_sweep", "Write the events that no webhook brought."),
    "tail": ("planasonix.cli.webhooks_tail", "Show events as they arrive."),
}


@click.group("webhooks", cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Events instead of polling: subscribe, receive, keep, replay."""
