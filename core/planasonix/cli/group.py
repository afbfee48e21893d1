"""The group of all commands, each imported on use, so that `planasonix --help` stays quick."""

from __future__ import annotations

from importlib import import_module

import click

# command -> (module, one line of help)
COMMANDS = {
    "backfill": ("planasonix.cli.backfill", "Load a window's history, stage by stage."),
    "reconcile": ("planasonix.cli.reconcile", "Find and cancel jobs whose owner has ended."),
    "sandbox": ("planasonix.cli.sandbox", "Serve an emulated Planasonix tenant."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and help line; a command's module holds it as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup)
@click.version_option(package_name="planasonix")
def planasonix() -> None:
    """Planasonix from the command line."""
