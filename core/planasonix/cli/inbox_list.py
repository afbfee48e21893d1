"""`planasonix inbox list`: the stored events, or what was given up."""

from __future__ import annotations

import click

from planasonix.cli.inbox_options import inbox_option, opened, output_option, row_of, row_of_dead, tell


@click.command("list")
@inbox_option
@click.option(
    "--consumer", metavar="NAME", help="Only what this consumer has still to do; with --dead: what it gave up."
)
@click.option("--dead", is_flag=True, help="What was given up, and deliveries that nobody could read.")
@click.option("--after", default=0, metavar="SEQ", help="Begin behind this event; with --dead: this dead letter.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.  [default: all]")
@output_option
def command(url: str, consumer: str | None, dead: bool, after: int, limit: int | None, output: str) -> None:
    """List the stored events, oldest first.

    With --output json one object a line: event_id, type, job_id, received_at and more. The payload is not shown.
    """
    left = limit
    with opened(url) as inbox:
        if consumer is not None and not dead:
            after = max(after, inbox.cursor(consumer))
        while left is None or left > 0:
            at_once = 500 if left is None else min(500, left)
            if dead:
                letters = inbox.dead_letters(consumer, after=after, limit=at_once)
                rows = [(letter.id, row_of_dead(letter)) for letter in letters]
            else:
                # A replay for one consumer is nothing that another one has to do.
                rows = [(stored.seq, row_of(stored)) for stored in inbox.read(after, at_once)]
            for number, row in rows:
                after = number
                if consumer is None or dead or row["only_for"] in (None, consumer):
                    tell(row, output)
            if not rows:
                return
            left = None if left is None else left - len(rows)
