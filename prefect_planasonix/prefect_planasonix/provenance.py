"""Who started the job, in Prefect's words: what the job carries in its metadata."""

from __future__ import annotations

from uuid import UUID

from planasonix.runs import Provenance
from prefect_planasonix.clients import prefect_client
from prefect_planasonix.owner import RunOwner


def provenance_of(owner: RunOwner, *, number: int, deployment_name: str | None, link: str | None) -> Provenance:
    """Names and ids only, never a parameter, and nothing that changes between two tries.

    `number` tells identical calls of one run apart; `link` is the flow run's page in Prefect's UI.
    """
    told = {
        "flow_name": owner.flow_name,
        "flow_run_id": owner.flow_run_id,
        "flow_run_name": owner.flow_run_name,
        "deployment_id": owner.deployment_id,
        "deployment": deployment_name,
        "task_name": owner.task_name,
        "task_run_id": None if owner.flow_run_id else owner.task_run_id,
        "link": link,
    }
    details: dict[str, str | int] = {name: value for name, value in told.items() if value}
    if number:
        details["occurrence"] = number
    if owner.flow_name:
        who = f"prefect_flow_{owner.flow_name}"
    elif owner.task_name:
        who = f"prefect_task_{owner.task_name}"
    else:
        who = "prefect"
    return Provenance("prefect", who, details)


def run_link(owner: RunOwner) -> str | None:
    """The page of the owner's run in Prefect's UI; None where its address is not known."""
    from prefect.utilities.urls import url_for

    try:
        if owner.flow_run_id:
            return url_for("flow-run", owner.flow_run_id)
        return url_for("task-run", owner.task_run_id) if owner.task_run_id else None
    except Exception:
        # A link is a convenience: an address that cannot be made up fails no job.
        return None


def deployment_name_of(owner: RunOwner) -> str | None:
    """The name of the deployment that the flow run comes from; None where there is none, or it cannot be read."""
    if owner.deployment_id is None:
        return None
    if owner.deployment_id not in _deployment_names:
        try:
            found = prefect_client().read_deployment(UUID(owner.deployment_id))
        except Exception:
            return None
        _deployment_names[owner.deployment_id] = found.name
    return _deployment_names[owner.deployment_id]


_deployment_names: dict[str, str] = {}
