"""Where the wishes of a run are kept: with the flow run that outlives its retries.

A retry of a flow calls its subflows anew, and Prefect gives each of them a fresh flow run, also where the earlier one
had succeeded. So a subflow's wishes hang on the flow run at the top, under the place of the subflow there.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect_planasonix.chain import with_cause_of
from prefect_planasonix.ledger import told_as_ledger_error
from prefect_planasonix.owner import RunOwner

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_LEVELS = 20
_KEPT = 10_000


class Siblings:
    """Which of the subflows that a try of a task has called one is: Prefect counts those of flows only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[object, list[str]] = OrderedDict()

    def number_of(self, task_run_id: str, tries: int, task_key: str, flow_run_id: str) -> int:
        with self._lock:
            runs = self._seen.setdefault((task_run_id, tries, task_key), [])
            if flow_run_id not in runs:
                runs.append(flow_run_id)
            while len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
            return runs.index(flow_run_id)


SIBLINGS = Siblings()


def at_home(client: SyncPrefectClient, owner: RunOwner) -> RunOwner:
    """The owner, with the flow run on which its wishes hang, its place there, and the tries from there on.

    ============================================  ====================================================================
    the owner is in                               its wishes hang on
    ============================================  ====================================================================
    a flow run that nobody called                 that
    a subflow called by a flow                    what the wishes of that flow hang on
    a subflow called by a task                    the same; a retry of the task finds them, one of the flow does not:
                                                  Prefect draws a new number for the task
    a task of such a subflow                      the subflow: it does not tell in which try of the task it was called
    a flow run of a deployment that a flow has    that: it has retries of its own, and may outlive its caller
    started
    ============================================  ====================================================================

    Raises `LedgerError` where Prefect's API cannot be used.
    """
    if owner.flow_run_id is None or owner.deployment_id is not None or owner.home_run_id is not None:
        return owner
    home, steps, tries = owner.flow_run_id, list[str](), owner.tries
    task_run_id = owner.parent_task_run_id
    with told_as_ledger_error("read"):
        while task_run_id is not None and len(steps) < _LEVELS:
            call = client.read_task_run(UUID(str(task_run_id)))
            if call.flow_run_id is None:
                break
            step = f"{call.task_key}/{call.dynamic_key}"
            if within := [str(each.id) for each in _calling_tasks(call)]:
                if owner.calling_task is None or owner.calling_task[0] not in within:
                    break
                calling, tried = owner.calling_task
                step = f"{calling}/{call.task_key}/{SIBLINGS.number_of(calling, tried, call.task_key, home)}"
                tries = (tried, *tries)
            above = client.read_flow_run(call.flow_run_id)
            owner = with_cause_of(owner, above)
            home, steps, tries = str(above.id), [step, *steps], (above.run_count, *tries)
            task_run_id = None if above.deployment_id is not None else above.parent_task_run_id
    if not steps:
        return owner
    place = hashlib.sha256("\0".join(steps).encode()).hexdigest()[:8]
    return replace(owner, home_run_id=home, place=f"in-{place}/", tries=tries)


def callers_of(client: SyncPrefectClient, flow_run_id: UUID, parent_task_run_id: Any) -> list[UUID]:
    """The flow run that called this one, the one that called that, and so on; of a subflow, not of a deployment's run:
    what becomes of that is Prefect's to say. Raises what Prefect's client raises.
    """
    ids = [flow_run_id]
    while parent_task_run_id is not None and len(ids) < _LEVELS:
        parent = client.read_task_run(UUID(str(parent_task_run_id))).flow_run_id
        if parent is None or parent in ids:
            break
        ids.append(parent)
        run = client.read_flow_run(parent)
        parent_task_run_id = None if run.deployment_id is not None else run.parent_task_run_id
    return ids[1:]


def _calling_tasks(call: Any) -> list[Any]:
    """The runs of the tasks that a subflow was called in, by the task run that stands for it in the flow's run."""
    return [each for each in (call.task_inputs or {}).get("__parents__", ()) if hasattr(each, "id")]
