"""Whose page of Prefect shows what is told of a run."""

from __future__ import annotations

from uuid import UUID


def run_of_context() -> tuple[UUID | None, UUID | None]:
    """The flow run, and the run that has the page: the task run, where it belongs to no flow. None outside any run."""
    from prefect.context import FlowRunContext, TaskRunContext

    flow, task = FlowRunContext.get(), TaskRunContext.get()
    flow_run_id = flow.flow_run.id if flow is not None and flow.flow_run is not None else None
    if flow_run_id is None and task is not None:
        flow_run_id = task.task_run.flow_run_id
    return flow_run_id, flow_run_id or (None if task is None else task.task_run.id)
