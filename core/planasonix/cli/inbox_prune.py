"""`planasonix inbox prune`: remove old events, and remember that they were here."""

from __future__ import annotations

from datetime import timedelta

import click

from planasonix.cli.inbox_options import inbox_option, opened


@click.command("prune")
@inbox_option
@click.option("--older-than-days", default=30.0, show_default=True, type=click.FloatRange(min=0))
def command(url: str, older_than_days: float) -> None:
    """Remove events and dead letters that arrived longer ago.

    What was removed is remembered by its keys, so that it cannot come in anew.
    """
    with opened(url) as inbox:
        pruned = inbox.prune(timedelta(days=older_than_days))
    click.echo(f"Removed {pruned.events} events, {pruned.dead_letters} dead letters and {pruned.keys} keys.")
    if pruned.behind:
        click.echo(f"Not read to the end by: {', '.join(pruned.behind)}.", err=True)
