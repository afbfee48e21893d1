"""Background tasks: `task.delay()` in a flow gives the task run the flow's id, but it runs in a task worker and goes on
when the flow has ended. So it is one of a task without a flow: that flow's end takes no job of it along.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from prefect_planasonix.bounded import NOTE_SECONDS, within
from prefect_planasonix.clients import prefect_client

if TYPE_CHECKING:
    from prefect_planasonix.owner import RunOwner

logger = logging.getLogger("prefect_planasonix")

_KEPT = 1_000
_known: OrderedDict[str, bool] = OrderedDict()


async def own_place(owner: RunOwner) -> RunOwner:
    """The owner; that of a background task without the flow run that has sent it.

    Prefect says so only in the first states of the task run, so they are asked for where a task runs in another process
    than its flow. Where they cannot be had it is taken for one of its flow.
    """
    if not owner.is_apart or owner.task_run_id is None:
        return owner
    task_run_id = owner.task_run_id
    if task_run_id not in _known:
        try:
            _known[task_run_id] = await within(NOTE_SECONDS, lambda: _was_deferred(task_run_id))
        except Exception as error:
            logger.debug("whether task run %s is a background task could not be read: %r", task_run_id, error)
            return owner
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    if not _known[task_run_id]:
        return owner
    return replace(owner, flow_run_id=None, parent_task_run_id=None, deployment_id=None, execution=None)


def _was_deferred(task_run_id: str) -> bool:
    states = prefect_client().request("GET", "/task_run_states/", params={"task_run_id": task_run_id}).json()
    return any((state.get("state_details") or {}).get("deferred") for state in states)
