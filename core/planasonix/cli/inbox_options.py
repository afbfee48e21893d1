"""What the commands that look into an inbox have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from planasonix.webhooks.inbox import DeadLetter, Inbox, StoredEvent

inbox_option: Callable[..., Any] = click.option(
    "--inbox",
    "url",
    required=True,
    envvar=["PLANASONIX_INBOX_URL", "PLANASONIX_INBOX"],
    metavar="URL",
    help="sqlite:////path/inbox.db or postgresql://user:password@host/database.  [env: PLANASONIX_INBOX_URL]",
)
output_option: Callable[..., Any] = click.option(
    "--output", default="text", show_default=True, type=click.Choice(["text", "json"])
)


@contextmanager
def opened(url: str) -> Generator[Inbox]:
    """The inbox at the URL; its errors as the command line tells them."""
    from planasonix.webhooks.inbox import Inbox
    from planasonix.webhooks.inbox.address import address_of

    try:
        path = address_of(url).path
        if path is not None and not path.exists():
            # To look must not make one: behind a wrong path an empty inbox would look like a quiet one.
            click.echo(f"There is no inbox in {path} yet.", err=True)
            raise SystemExit(0)
        with Inbox.open(url) as inbox:
            yield inbox
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None


def row_of(stored: StoredEvent) -> dict[str, Any]:
    """An event as one JSON object a line shows it; its payload may hold data of the tenant's and stays away."""
    event = stored.event
    return {
        "event_id": event.event_id,
        "type": event.type,
        "job_id": event.job_id,
        "received_at": _text(stored.received_at),
        "seq": stored.seq,
        "kind": event.kind,
        "object_id": event.object_id,
        "connection_id": event.connection_id,
        "status": event.status,
        "occurred_at": _text(event.occurred_at),
        "source": stored.source,
        "replay_of": stored.replay_of,
        "only_for": stored.only_for,
    }


def row_of_dead(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter likewise: the event's fields are None for a delivery that nobody could read."""
    known = {} if letter.stored is None else row_of(letter.stored)
    names = ("event_id", "type", "job_id", "received_at", "seq", "kind", "object_id", "connection_id", "status")
    own = {
        "dead_letter": letter.id,
        "consumer": letter.consumer,
        "error": letter.error,
        "attempts": letter.attempts,
        "given_up_at": _text(letter.at),
    }
    return {name: known.get(name) for name in names} | own


def tell(row: dict[str, Any], output: str) -> None:
    """One line for one event."""
    if output == "json":
        click.echo(json.dumps(row))
        return
    what = row["object_id"] or "-"
    line = f"{row['seq'] or '-':>7}  {row['received_at'] or '-':<27}  {row['type'] or '(unreadable)':<20}  {what}"
    if "dead_letter" in row:
        line += f"  dead letter {row['dead_letter']} of {row['consumer'] or 'the receiver'}: {row['error']}"
    elif row["source"] != "webhook":
        line += f"  ({row['source']})"
    click.echo(line)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
