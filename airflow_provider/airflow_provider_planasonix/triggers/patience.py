"""Getting a client in a triggerer, where the connection may be out of reach for a while."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from typing import TYPE_CHECKING

from airflow_provider_planasonix._compat import runs_in_dag_test
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.push.listening import feel_events
from airflow_provider_planasonix.triggers.lines import LogLines
from planasonix.errors import ConfigurationError
from planasonix.watch.patience import AUTH_GRACE_SECONDS

if TYPE_CHECKING:
    from planasonix import AsyncPlanasonix

_LONGEST_PAUSE_SECONDS = 30.0

_preparing = threading.Lock()
_prepared = False


async def client_with_patience(planasonix_conn_id: str, lines: LogLines) -> AsyncPlanasonix:
    """A client for the connection; asks again for five minutes, because a failed look-up says nothing of the job.

    A secrets backend may be away, and after a restart all triggers ask at once. Raises the last error; a connection
    that can be read but is wrong raises `ConfigurationError` at once.
    """
    look_up = asyncio.create_task(_client_with_patience(planasonix_conn_id, lines))
    try:
        # Airflow says with its cancel whether a user ended the trigger. asgiref, by which it looks connections up,
        # replaces that cancel by one of its own, which says nothing: it must not be what the trigger awaits.
        await asyncio.wait([look_up])
    except asyncio.CancelledError:
        look_up.cancel()
        raise
    return look_up.result()


async def _client_with_patience(planasonix_conn_id: str, lines: LogLines) -> AsyncPlanasonix:
    # All triggers share one event loop, and Airflow complains of whoever holds it up for a fifth of a second.
    # Asked for no thread once that is done: Airflow's own lines may occupy them all while its log is stuck.
    if not _prepared:
        await asyncio.to_thread(prepare_process)
    await feel_events()
    began, pause = time.monotonic(), 1.0
    while True:
        try:
            return await PlanasonixHook(planasonix_conn_id).get_async_client()
        except ConfigurationError:
            raise
        except Exception as error:
            if time.monotonic() - began > AUTH_GRACE_SECONDS:
                raise
            lines.warning(f"the connection {planasonix_conn_id} cannot be read, asking again: {error}")
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)


def prepare_process() -> None:
    """Load what waiting needs, once in a process, and keep the garbage collector from looking through all of it."""
    global _prepared
    from planasonix.runs.warm_up import warm_up

    with _preparing:
        if _prepared:
            return
        warm_up()
        # A triggerer's process inherits some hundred MiB of Airflow's objects. The first whole collection goes through
        # all of them, a quarter of a second with the loop standing still; what lives now lives on as long as the
        # process. What lives in an author's own process is the author's.
        if not runs_in_dag_test():
            gc.freeze()
        _prepared = True
