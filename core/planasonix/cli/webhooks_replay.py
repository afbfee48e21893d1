"""`planasonix webhooks replay`: stored events once more before the consumers."""

from __future__ import annotations

import click

from planasonix.cli.inbox_options import inbox_option, opened


@click.command("replay")
@inbox_option
@click.option("--seq", "seqs", type=int, multiple=True, metavar="SEQ", help="The event's number. May be repeated.")
@click.option("--event-id", "event_ids", multiple=True, metavar="ID", help="The event's id. May be repeated.")
@click.option(
    "--dead", is_flag=True, help="All dead letters, of --consumer or of all; unreadable deliveries are read again."
)
@click.option("--dead-letter", "letters", type=int, multiple=True, metavar="N", help="One of them. May be repeated.")
@click.option("--consumer", metavar="NAME", help="Only for this consumer.  [default: all; dead letters: their own]")
def command(
    url: str,
    seqs: tuple[int, ...],
    event_ids: tuple[str, ...],
    dead: bool,
    letters: tuple[int, ...],
    consumer: str | None,
) -> None:
    """Put stored events again before the consumers.

    They get new numbers and keep their ids, so that an effect that was done is not done twice: a replay makes up for
    what was not done. What arrives from outside is known as before.
    """
    if not (seqs or event_ids or dead or letters):
        raise click.UsageError("Name what to replay: --seq, --event-id, --dead or --dead-letter.")
    with opened(url) as inbox:
        wanted = list(seqs)
        found = inbox.find(event_ids) if event_ids else []
        if missing := sorted(set(event_ids) - {stored.event.event_id for stored in found}):
            raise click.UsageError(f"There is no event {missing[0]!r} in the inbox. It may be pruned.")
        wanted += [stored.seq for stored in found]
        again = inbox.replay(wanted, consumer) if wanted else []
        ids = list(letters)
        if dead:
            after = 0
            while some := inbox.dead_letters(consumer, after=after):
                after = some[-1].id
                ids += [letter.id for letter in some]
        if ids:
            again += inbox.replay_dead(list(dict.fromkeys(ids)))
        is_unknown = consumer is not None and not inbox.cursor(consumer)
    click.echo(f"{len(again)} put again before {consumer or 'the consumers'}.")
    if is_unknown:
        # Airflow's and Dagster's keep their places with the orchestrator: no error, then.
        click.echo(f"No consumer called {consumer!r} keeps its place in this inbox: see the name.", err=True)
