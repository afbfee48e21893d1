"""`planasonix webhooks tail`: events as they arrive."""

from __future__ import annotations

import time

import click

from planasonix.cli.inbox_options import inbox_option, opened, output_option, row_of, tell


@click.command("tail")
@inbox_option
@click.option(
    "--lines", "-n", default=10, show_default=True, type=click.IntRange(min=0), help="Show the last so many first."
)
@click.option("--follow/--no-follow", "-f", default=True, show_default=True, help="Go on until Ctrl-C.")
@output_option
def command(url: str, lines: int, follow: bool, output: str) -> None:
    """Show events as they arrive. An inbox that goes away is waited for."""
    from planasonix.webhooks.inbox import InboxUnavailable

    away = False
    with opened(url) as inbox:
        after = max(0, inbox.last_seq() - lines)
        try:
            while True:
                try:
                    rows = inbox.read(after)
                except InboxUnavailable as error:
                    if not follow:
                        raise
                    if not away:
                        click.echo(str(error), err=True)
                    away, rows = True, []
                else:
                    away = False
                for stored in rows:
                    after = stored.seq
                    tell(row_of(stored), output)
                if not rows:
                    if not follow:
                        return
                    time.sleep(1.0)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
