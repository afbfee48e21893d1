"""The group of all commands, each imported on use, so that `planasonix --help` stays quick."""

from __future__ import annotations

import click

from planasonix.cli.lazy_group import LazyGroup

# command -> (module, one line of help)
COMMANDS = {
    "backfill": ("planasonix.cli.backfill", "Load a window's history, stage by stage."),
    "inbox": ("planasonix.cli.inbox", "Look into an inbox of events."),
    "reconcile": ("planasonix.cli.reconcile", "Find and cancel jobs whose owner has ended."),
    "sandbox": ("planasonix.cli.sandbox", "Serve an emulated Planasonix tenant."),
    "webhooks": ("planasonix.cli.webhooks", "Subscribe to events, receive and replay them."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
@click.version_option(package_name="planasonix")
def planasonix() -> None:
    """Planasonix from the command line."""
