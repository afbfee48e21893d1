"""`planasonix inbox`: what is stored."""

from __future__ import annotations

import click

from planasonix.cli.lazy_group import LazyGroup

COMMANDS = {
    "list": ("planasonix.cli.inbox_list", "List the stored events, oldest first."),
    "prune": ("planasonix.cli.inbox_prune", "Remove old events, and remember that they were here."),
}


@click.group("inbox", cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Look into an inbox of events."""
