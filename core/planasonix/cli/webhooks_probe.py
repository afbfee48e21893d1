"""`planasonix webhooks probe`: find out how the tenant signs."""

from __future__ import annotations

import click

from planasonix.errors import ConfigurationError, PlanasonixError


@click.command("probe")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--url", metavar="URL", help="What the tenant delivers to, where a proxy stands in front.")
@click.option("--timeout", "timeout_seconds", default=60.0, show_default=True, type=click.FloatRange(min=1))
def command(host: str, port: int, url: str | None, timeout_seconds: float) -> None:
    """Find out how the tenant signs, and print the option to pin it with.

    Makes a subscription, has one test event delivered, and deletes the subscription again. The tenant comes from
    PLANASONIX_API_KEY and PLANASONIX_BASE_URL.
    """
    from planasonix import Planasonix
    from planasonix.webhooks.probe import probe

    try:
        with Planasonix() as client:
            match = probe(
                client,
                host=host,
                port=port,
                url=url,
                timeout_seconds=timeout_seconds,
                listening=lambda taken: click.echo(f"Listening on {host}:{taken}", err=True),
            )
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except (PlanasonixError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"--scheme {match.scheme}")
    click.echo(f"The key is the secret as {match.key_form}.", err=True)
