"""The relay: from the inbox of webhooks to Prefect's events and suspended flow runs.

    python -m prefect_planasonix.relay --inbox sqlite:////srv/planasonix/inbox.db --credentials production --sweep

A process of its own, beside `prefect worker start`, and not a flow: a flow run that never ends would hold a slot of its
worker, look like a hanging one, and be called crashed at each deployment. Start two for a standby: one is at work, the
other one takes over within `lease_seconds` after a kill.

For each end of a job, backfill or pipeline run the event of `prefect_planasonix.events` is posted, with the id and the
related resources that the flow run itself would give it, and flow runs that this package has suspended for it are
resumed. The inbox's cursor moves after that, so that nothing is lost where Prefect is away or the relay is killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Literal

from planasonix.errors import ConfigurationError, PlanasonixError
from prefect_planasonix.push import inbox_url_of_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planasonix import Planasonix
    from planasonix.webhooks import Sweeper

CONSUMER = "prefect-relay"
_AWAY_SECONDS = 5.0
logger = logging.getLogger("prefect_planasonix.relay")


def relay(
    inbox_url: str | None = None,
    *,
    credentials: str | None = None,
    sweep: bool = False,
    consumer: str = CONSUMER,
    start: Literal["now", "beginning"] = "now",
    lease_seconds: float = 30.0,
    sweep_seconds: float = 60.0,
    stop: threading.Event | None = None,
) -> None:
    """Relay events until `stop` is set; blocks.

    :param inbox_url: as `planasonix webhooks serve` has it. None: PLANASONIX_INBOX_URL, then PLANASONIX_INBOX.
    :param credentials: the name of a saved `PlanasonixCredentials` block. None: the key in PLANASONIX_API_KEY.
    :param sweep: look for ends that no webhook brought as well, every `sweep_seconds`; of several sweepers of one
        inbox one is at work.
    :param consumer: the name of this relay's cursor; one for each Prefect server or workspace.
    :param start: where a new consumer begins. With `sweep` the ends of some minutes before "now" are told as well:
        those that its first look finds.
    :param lease_seconds: how long after a kill another relay takes over.

    Prefect and the inbox may be away: it waits for them, and says so once. Raises `ConfigurationError` where the inbox
    or the key is missing, before anything is done.
    """
    from planasonix.webhooks.inbox import Inbox, InboxUnavailable, consume
    from planasonix.webhooks.loops import LoopGuard
    from planasonix.webhooks.sweep import Sweeper
    from prefect_planasonix.clients import prefect_client
    from prefect_planasonix.reconcile import client_for
    from prefect_planasonix.relay_effect import RelayEffect

    url = inbox_url or inbox_url_of_environment()
    if url is None:
        raise ConfigurationError(
            "There is no inbox to relay from.", field="inbox_url", hint="Give its URL, or set PLANASONIX_INBOX_URL."
        )
    stop = stop or threading.Event()
    client = _client_once_there(credentials, stop)
    if client is None:
        return
    inbox = Inbox.open(url, lazy=True)
    effect = RelayEffect(
        client,
        prefect_client(),
        credentials_block=credentials,
        depth_of=LoopGuard(inbox).depth_of,
        log=logger.info,
    )
    sweeper: Sweeper | None = None
    try:
        if sweep:
            # The place first, or it is chance whether what the first sweep finds is told. An inbox that is away is
            # `consume`'s to wait for.
            with contextlib.suppress(InboxUnavailable):
                inbox.subscribe(consumer, start)
            sweeper = Sweeper(url, lambda: client_for(credentials), interval_seconds=sweep_seconds)
            sweeper.start()
        consume(
            inbox,
            consumer,
            effect,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            stop=stop,
            start=start,
            lease_seconds=lease_seconds,
            log=lambda level, text: logger.log(logging.getLevelNamesMapping()[level.upper()], "%s", text),
        )
    finally:
        if sweeper is not None:
            sweeper.stop()
        inbox.close()


def _client_once_there(credentials: str | None, stop: threading.Event) -> Planasonix | None:
    """The client; a saved block is waited for while Prefect is away. None where `stop` came first."""
    import httpx

    from prefect_planasonix.reconcile import client_for

    is_away = False
    while not stop.is_set():
        try:
            return client_for(credentials)
        except httpx.HTTPError as error:
            if not is_away:
                logger.warning("the saved block is waited for: Prefect's API is away (%s)", type(error).__name__)
            is_away = True
        stop.wait(_AWAY_SECONDS)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m prefect_planasonix.relay`: until SIGTERM or SIGINT, which let the event under way end."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m prefect_planasonix.relay", description=relay.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--inbox", metavar="URL", help="a URL with a password belongs into PLANASONIX_INBOX_URL")
    parser.add_argument("--credentials", metavar="BLOCK", help="the name of a saved block; else PLANASONIX_API_KEY")
    parser.add_argument("--sweep", action="store_true", help="look for ends that no webhook brought")
    parser.add_argument("--sweep-seconds", type=float, default=60.0)
    parser.add_argument("--lease-seconds", type=float, default=30.0)
    parser.add_argument("--consumer", default=CONSUMER)
    parser.add_argument("--from-beginning", action="store_true", help="where this consumer is new")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Prefect has handlers of its own where its settings ask for them.
    logger.setLevel(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        relay(
            given.inbox,
            credentials=given.credentials,
            sweep=given.sweep,
            consumer=given.consumer,
            start="beginning" if given.from_beginning else "now",
            lease_seconds=given.lease_seconds,
            sweep_seconds=given.sweep_seconds,
            stop=stop,
        )
    except PlanasonixError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
