"""`planasonix webhooks sweep`: the ends that no webhook brought, written to an inbox."""

from __future__ import annotations

import json
import logging
import signal
import threading

import click

from planasonix.cli.inbox_options import inbox_option
from planasonix.cli.sweep_options import interval_option, keep_days_option
from planasonix.errors import ConfigurationError, PlanasonixError


@click.command("sweep")
@inbox_option
@interval_option("--interval")
@click.option("--name", default="sweep", show_default=True, help="Of the lease: one for each tenant of an inbox.")
@keep_days_option
@click.option("--once", is_flag=True, help="One sweep, and out.")
def command(url: str, interval_seconds: float, name: str, keep_days: float, once: bool) -> None:
    """Look for jobs and backfills that have ended, and write what no webhook brought, until interrupted.

    Any number of these may run on one inbox: one works, another takes over when it is gone. The tenant comes from
    PLANASONIX_API_KEY and PLANASONIX_BASE_URL. An inbox URL with a password belongs into PLANASONIX_INBOX_URL.
    """
    from planasonix import Planasonix
    from planasonix.webhooks.inbox import Inbox
    from planasonix.webhooks.sweep import Sweeper

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        Inbox.open(url).close()  # what can never work ends here, and not in every sweep
        Planasonix().close()
        sweeper = Sweeper(url, Planasonix, interval_seconds=interval_seconds, name=name, keep_days=keep_days or None)
        if once:
            with sweeper:
                swept = sweeper.sweep_now()
            found = None if swept is None else {"found": swept.found, "open": swept.open}
            click.echo(json.dumps(found))
            if swept is not None and swept.calls_failed:
                raise swept.calls_failed[-1]
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        click.echo(f"Sweeping every {interval_seconds:g} s.", err=True)
        sweeper.run(stop)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None
