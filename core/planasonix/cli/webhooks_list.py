"""`planasonix webhooks list`: who is told about what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from planasonix.models import Webhook


@click.command("list")
@click.option("--output", default="text", show_default=True, type=click.Choice(["text", "json"]))
def command(output: str) -> None:
    """List the subscriptions, with how often deliveries failed in the last 24 hours.

    With --output json one object a line. The tenant comes from PLANASONIX_API_KEY and PLANASONIX_BASE_URL.
    """
    from planasonix import Planasonix

    try:
        with Planasonix() as client:
            # The list shows no failures (facts §1.1), and a sender that has given up is what one looks for here.
            rows = [_row(client.webhooks.get(one.id)) for one in client.webhooks.list()]
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None
    if output == "text" and not rows:
        click.echo("No subscriptions.", err=True)
    for row in rows:
        click.echo(json.dumps(row) if output == "json" else _line(row))


def _row(webhook: Webhook) -> dict[str, Any]:
    delivered = webhook.last_delivery_at
    return {
        "webhook_id": webhook.id,
        "url": webhook.url,
        "events": [str(event) for event in webhook.events],
        "enabled": webhook.enabled,
        "last_delivery_at": None if delivered is None else delivered.isoformat().replace("+00:00", "Z"),
        "failure_count_24h": webhook.failure_count_24h,
    }


def _line(row: dict[str, Any]) -> str:
    failures = row["failure_count_24h"]
    state = "off" if row["enabled"] is False else f"{failures} failed in 24 h" if failures else "on"
    return f"{row['webhook_id']}  {row['url']}  {','.join(row['events'])}  {state}"
