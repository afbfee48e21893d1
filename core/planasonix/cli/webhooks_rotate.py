"""`planasonix webhooks rotate`: a new signing secret without a lost delivery."""

from __future__ import annotations

import json
from datetime import timedelta

import click

from planasonix.cli.webhooks_secret import given_secret
from planasonix.errors import ConfigurationError, PlanasonixError


@click.command("rotate")
@click.argument("webhook_id")
@click.option("--secrets-file", required=True, metavar="FILE", help="The receiver's file of secrets, which is changed.")
@click.option("--secret-env", metavar="NAME", help="The environment variable that holds the new secret.")
@click.option("--secret-file", metavar="FILE", help="A file that holds nothing else; - for standard input.")
@click.option("--secret", metavar="TEXT", help="In clear, where everybody on this machine sees it.")
@click.option(
    "--overlap",
    "overlap_hours",
    metavar="HOURS",
    default=24.0,
    show_default=True,
    type=click.FloatRange(min=0, max=24 * 365),
    help="How long the old secret stays valid.",
)
@click.option("--output", default="text", show_default=True, type=click.Choice(["text", "json"]))
def command(
    webhook_id: str,
    secrets_file: str,
    secret_env: str | None,
    secret_file: str | None,
    secret: str | None,
    overlap_hours: float,
    output: str,
) -> None:
    """Change the signing secret of a subscription. Prints its id, never a secret.

    Without a secret the API makes one, and receivers ask for again what comes before they know it. With a secret of
    yours the subscription is made anew, with a new id, and nothing has to be sent again. The tenant comes from
    PLANASONIX_API_KEY and PLANASONIX_BASE_URL.
    """
    from planasonix import Planasonix
    from planasonix.webhooks.secrets_file import SecretsFile
    from planasonix.webhooks.subscriptions import rotate

    chosen = given_secret(secret_env, secret_file, secret)
    try:
        was_empty = SecretsFile(secrets_file).is_empty()
        with Planasonix() as client:
            done = rotate(client, webhook_id, secrets_file, secret=chosen, overlap=timedelta(hours=overlap_hours))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None
    if was_empty:
        click.echo(
            f"Warning: {secrets_file} held no secret before. A receiver that reads another file refuses every delivery "
            "from now on: lead it to this one.",
            err=True,
        )
    row = {"webhook_id": done.webhook_id, "done": done.done}
    click.echo(json.dumps(row) if output == "json" else f"{done.webhook_id}  {done.done}")
