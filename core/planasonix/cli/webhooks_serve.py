"""`planasonix webhooks serve`: receive deliveries into an inbox."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import click

from planasonix.cli.inbox_options import inbox_option
from planasonix.cli.sweep_options import interval_option, keep_days_option
from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from planasonix.webhooks.signatures import Scheme


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8766, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@inbox_option
@click.option(
    "--scheme",
    required=True,
    type=click.Choice(["timestamped", "body"]),
    help="How the tenant signs; `planasonix webhooks probe` finds out.",
)
@click.option("--secrets-file", metavar="FILE", help="Read again as it changes. [default: PLANASONIX_WEBHOOK_SECRETS]")
@click.option("--sweep/--no-sweep", default=True, help="Sweep too, where PLANASONIX_API_KEY is set.  [default: sweep]")
@interval_option("--sweep-interval")
@keep_days_option
def command(
    host: str,
    port: int,
    url: str,
    scheme: Scheme,
    secrets_file: str | None,
    sweep: bool,
    interval_seconds: float,
    keep_days: float,
) -> None:
    """Receive deliveries at /planasonix/webhooks until interrupted; /healthz tells whether the inbox can be reached.

    A delivery is answered 2xx once it is stored. SIGTERM lets those end that are under way. An inbox URL with a
    password belongs into PLANASONIX_INBOX_URL. TLS is the proxy's in front.
    """
    try:
        import uvicorn

        from planasonix.webhooks.inbox import GroupWriter, Inbox
        from planasonix.webhooks.receiver import receiver_app
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing; receiving needs an extra: pip install 'planasonix[webhooks]'"
        ) from None
    from planasonix.webhooks.secrets_source import SigningSecrets

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        secrets = SigningSecrets.from_file(secrets_file) if secrets_file else SigningSecrets.from_environment()
        store = Inbox.open(url, lazy=True)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    writer = GroupWriter(store)
    app = receiver_app(writer, secrets, scheme=scheme, check_store=store.last_seq)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=15, lifespan="off"
    )
    # The server raises the signal that ended it once more: a quiet handler lets what is stored be closed in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    click.echo(f"Receiving on http://{shown}:{listening.getsockname()[1]}/planasonix/webhooks")
    with contextlib.ExitStack() as ending:
        ending.callback(store.close)
        ending.callback(writer.close)
        if sweep and os.environ.get("PLANASONIX_API_KEY"):
            sweeper = _sweeper(url, interval_seconds, keep_days or None)
            sweeper.start()
            ending.callback(sweeper.stop)
        uvicorn.Server(config).run(sockets=[listening])
    click.echo("Stopped.")


def _sweeper(url: str, interval_seconds: float, keep_days: float | None) -> Any:
    from planasonix import Planasonix
    from planasonix.webhooks.sweep import Sweeper

    try:
        Planasonix().close()
        return Sweeper(url, Planasonix, interval_seconds=interval_seconds, keep_days=keep_days)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
