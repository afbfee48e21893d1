"""`planasonix webhooks create`: one subscription for a URL, however often it is called."""

from __future__ import annotations

import json

import click

from planasonix.cli.webhooks_secret import given_secret, prompted_secret
from planasonix.errors import ConfigurationError, PlanasonixError


@click.command("create")
@click.argument("url")
@click.option("--event", "events", multiple=True, metavar="TYPE", help="May be repeated.  [default: all published]")
@click.option("--secret-env", metavar="NAME", help="The environment variable that holds the signing secret.")
@click.option("--secret-file", metavar="FILE", help="A file that holds nothing else; - for standard input.")
@click.option("--secret", metavar="TEXT", help="In clear, where everybody on this machine sees it.")
@click.option(
    "--secrets-file",
    metavar="FILE",
    help="The receiver's file, which gets the secret first; without a secret one is made.",
)
@click.option("--enable", is_flag=True, help="Switch the subscription on if it is off.")
@click.option("--output", default="text", show_default=True, type=click.Choice(["text", "json"]))
def command(
    url: str,
    events: tuple[str, ...],
    secret_env: str | None,
    secret_file: str | None,
    secret: str | None,
    secrets_file: str | None,
    enable: bool,
    output: str,
) -> None:
    """Have events sent to URL. Prints the subscription's id, never a secret.

    A subscription of the same URL is kept, and gets the events. The tenant comes from PLANASONIX_API_KEY and
    PLANASONIX_BASE_URL.
    """
    from planasonix import Planasonix
    from planasonix.webhooks.subscriptions import DEFAULT_EVENTS, subscribe

    chosen = given_secret(secret_env, secret_file, secret)
    if chosen is None and secrets_file is None:
        chosen = prompted_secret()
    try:
        with Planasonix() as client:
            made = subscribe(
                client, url, events or DEFAULT_EVENTS, secret=chosen, secrets_file=secrets_file, enable=enable
            )
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None
    for warning in made.warnings:
        click.echo(f"Warning: {warning}", err=True)
    row = {"webhook_id": made.webhook_id, "done": made.done}
    click.echo(json.dumps(row) if output == "json" else f"{made.webhook_id}  {made.done}")
