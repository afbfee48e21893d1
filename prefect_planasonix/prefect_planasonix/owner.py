"""Which run of Prefect a call belongs to, as the context of its caller tells."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from prefect_planasonix.chain import cause_in

_OF_ONE_TRY = frozenset(("tries", "calling_task", "execution", "is_apart", "cause"))
"""What the ledger does not keep of an owner."""


@dataclass(frozen=True)
class RunOwner:
    """The flow run and the task run that a start or wait is made in; ids as texts, None for what there is not.

    `dynamic_key` is Prefect's number of the call within the flow run. `persists`: whether the results of the task are
    kept, so that a retry of the flow does not run it again once it succeeded. `tries` are the tries of flow run and
    task run: what compares higher is a later try. A resume does not count. `calling_task`: the run of the task that a
    subflow is called in, and its try. `execution` is the same for all calls of one execution of the flow, in any
    process, and new with each retry and each resume. `is_apart`: whether the call is made in another process than the
    flow's, as task runners with processes and task workers do.

    `cause` is the event that the flow run was started by, as its parameters have it.

    `home_run_id` is the flow run that the wishes of a subflow hang on, and `place` what they are called there: see
    `home`, which finds them.
    """

    flow_run_id: str | None = None
    flow_run_name: str | None = None
    flow_name: str | None = None
    deployment_id: str | None = None
    parent_task_run_id: str | None = None
    task_run_id: str | None = None
    task_run_name: str | None = None
    task_name: str | None = None
    task_key: str | None = None
    dynamic_key: str | None = None
    persists: bool = False
    home_run_id: str | None = None
    place: str = ""
    tries: tuple[int, ...] = field(default=(0, 0), compare=False)
    calling_task: tuple[str, int] | None = field(default=None, compare=False)
    execution: str | None = field(default=None, compare=False)
    is_apart: bool = field(default=False, compare=False)
    cause: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def run_id(self) -> str | None:
        """What the ledger hangs on: the flow run, or the run of a task without a flow."""
        return self.home_flow_run_id or self.task_run_id

    @property
    def caller(self) -> str:
        """Who asks, among the callers of one flow run."""
        return self.task_run_id or "flow"

    @property
    def claim(self) -> tuple[str, str] | None:
        """What marks an entry of the ledger as this caller's, in this execution of the flow."""
        return None if self.execution is None else (self.execution, self.caller)

    @property
    def home_flow_run_id(self) -> str | None:
        return self.home_run_id or self.flow_run_id

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what changes from try to try."""
        data = asdict(self)
        return {name: value for name, value in data.items() if name not in _OF_ONE_TRY}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunOwner:
        """Read what any version wrote; fields of a newer one are left alone."""
        return cls(
            **{name: data[name] for name in cls.__dataclass_fields__ if name in data and name not in _OF_ONE_TRY}
        )


def current_owner() -> RunOwner:
    """The run that the calling code is in; an empty one outside any run."""
    from prefect.context import FlowRunContext, TaskRunContext

    flow = FlowRunContext.get()
    task = TaskRunContext.get()
    found: dict[str, Any] = {}
    flow_tries = task_tries = 0
    if task is not None:
        run = task.task_run
        found |= {
            "task_run_id": str(run.id),
            "task_run_name": run.name,
            "task_name": task.task.name,
            "task_key": run.task_key,
            "dynamic_key": run.dynamic_key,
            "flow_run_id": None if run.flow_run_id is None else str(run.flow_run_id),
            "persists": bool(task.persist_result),
            # A background task without parameters comes without the context of the flow that sent it.
            "is_apart": run.flow_run_id is not None and flow is None,
        }
        flow_tries, task_tries = run.flow_run_run_count, run.run_count
    # A task without a flow may be called where the context of another run is still around.
    if flow is not None and flow.flow_run is not None and (task is None or task.task_run.flow_run_id is not None):
        run_of_flow = flow.flow_run
        if task is not None and task.task_run.flow_run_id != run_of_flow.id:
            # A subflow within a task: the task is the parent's.
            found = {"calling_task": (str(task.task_run.id), task.task_run.run_count)}
            task_tries = 0
        found |= {
            "flow_run_id": str(run_of_flow.id),
            "flow_run_name": run_of_flow.name,
            "flow_name": None if flow.flow is None else flow.flow.name,
            "deployment_id": None if run_of_flow.deployment_id is None else str(run_of_flow.deployment_id),
            "parent_task_run_id": (
                None if run_of_flow.parent_task_run_id is None else str(run_of_flow.parent_task_run_id)
            ),
        }
        flow_tries = run_of_flow.run_count
        # A resume does not count as a try. When the run began to run, it tells.
        since = None if run_of_flow.state is None else run_of_flow.state.timestamp.isoformat()
        found |= {"execution": f"{flow_tries}/{since}", "is_apart": flow.detached}
        found["cause"] = cause_in(run_of_flow.parameters)
    return RunOwner(**found, tries=(flow_tries, task_tries))
