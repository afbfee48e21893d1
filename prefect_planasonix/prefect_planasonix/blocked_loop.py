"""One warning in the log of a flow run whose async code calls a sync twin."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

_KEPT = 1000
_warned: OrderedDict[str | None, None] = OrderedDict()


def warn_of_a_blocked_loop() -> None:
    """Log it if an event loop runs in this thread: it works, but is not what the author of an async flow means."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    from prefect.runtime import flow_run

    from prefect_planasonix.attempt import run_logger

    run_id = flow_run.id
    if run_id in _warned:
        return
    _warned[run_id] = None
    while len(_warned) > _KEPT:
        _warned.popitem(last=False)
    run_logger().warning(
        "A sync call of Planasonix blocks the event loop it is called in, and Ctrl-C is not heard meanwhile. In async "
        "code await its twin, whose name begins with 'a': await arun_sync(...), atrigger(), await_completion()."
    )
