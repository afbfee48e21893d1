"""The sweep for what no webhook brought, in a thread of a triggerer; a lease in the inbox makes it one for all."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.push import options
from planasonix.errors import redact

if TYPE_CHECKING:
    from planasonix import Planasonix
    from planasonix.webhooks import Sweeper

log = logging.getLogger(__name__)

_LONGEST_PAUSE_SECONDS = 300.0

_sweepers: dict[str, Any] = {}


async def begin_to_sweep(inbox_url: str) -> None:
    """Start this process's sweeper, unless it has one or `sweep_conn_id` is empty. Raises `ConfigurationError`."""
    conn_id = await asyncio.to_thread(options.text, "sweep_conn_id", options.DEFAULT_SWEEP_CONN_ID)
    if not conn_id or inbox_url in _sweepers:
        return
    seconds = await asyncio.to_thread(
        lambda: options.number("sweep_interval_seconds", options.DEFAULT_SWEEP_SECONDS, least=1.0)
    )
    # Its connection may be out of reach for a while, and the waits do not wait for it.
    _sweepers[inbox_url] = asyncio.create_task(_start(inbox_url, conn_id, seconds))


async def _start(inbox_url: str, conn_id: str, interval_seconds: float) -> None:
    from airflow_provider_planasonix.triggers.patience import prepare_process

    # All triggers share this event loop: what a client imports is imported in a thread.
    await asyncio.to_thread(prepare_process)
    hook, loop, pause = PlanasonixHook(conn_id), asyncio.get_running_loop(), 1.0
    while True:
        try:
            # Airflow answers look-ups on its event loop only; the sweeper's thread uses what was read here.
            await (await hook.get_async_client()).aclose()
            break
        except Exception as error:
            log.warning("no sweep until the connection %s can be read: %s", conn_id, redact(repr(error)))
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
    sweeper = await asyncio.to_thread(_sweeper, inbox_url, hook, loop, interval_seconds)
    sweeper.start()
    _sweepers[inbox_url] = sweeper
    log.info("this triggerer sweeps, or stands by to, every %g s by the connection %s", interval_seconds, conn_id)


def _sweeper(inbox_url: str, hook: PlanasonixHook, loop: asyncio.AbstractEventLoop, interval_seconds: float) -> Sweeper:
    from planasonix.webhooks import Sweeper

    def connect() -> Planasonix:
        return hook.client_for_thread(loop)

    return Sweeper(inbox_url, connect, interval_seconds=interval_seconds)
