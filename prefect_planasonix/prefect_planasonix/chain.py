"""Loops are cut (G9): a flow run that an event started knows how many runs events have started before it.

An automation hands the event over as the parameter `planasonix_event` of the flow (`automations.run_on_event`). Prefect
has no other place for it: an automation can set neither tags nor labels of the run that it starts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planasonix.errors import ConfigurationError
from prefect_planasonix.bounded import NOTE_SECONDS, within
from prefect_planasonix.push import inbox_url_of

if TYPE_CHECKING:
    from planasonix.runs import Provenance, RunHandle
    from planasonix.webhooks import Cause
    from prefect_planasonix.credentials import PlanasonixCredentials
    from prefect_planasonix.owner import RunOwner

EVENT_PARAMETER = "planasonix_event"
MAX_DEPTH_VARIABLE = "PLANASONIX_MAX_EVENT_DEPTH"


def cause_in(parameters: Any) -> dict[str, Any] | None:
    """The event that a flow run was started by, as its parameters have it; None where no event did."""
    event = parameters.get(EVENT_PARAMETER) if isinstance(parameters, Mapping) else None
    return {str(name): value for name, value in event.items()} if isinstance(event, Mapping) and event else None


def max_depth() -> int:
    """How many runs in a row events may start. Raises `ConfigurationError` for what is no number of 0 or more."""
    from planasonix.webhooks.loops import MAX_DEPTH

    told = os.environ.get(MAX_DEPTH_VARIABLE, "").strip()
    if not told:
        return MAX_DEPTH
    if not told.isdecimal():
        raise ConfigurationError(f"{MAX_DEPTH_VARIABLE} must be 0 or more, got {told!r}.", field=MAX_DEPTH_VARIABLE)
    return int(told)


async def deeper_in_chain(
    provenance: Provenance, owner: RunOwner, credentials: PlanasonixCredentials, slot: str
) -> Provenance:
    """The provenance with its depth in a chain of events; the same one for a flow run that no event started.

    Raises `FeedbackLoopError` where too many runs in a row were started by events: a retry would find the same.
    """
    cause = _cause_of(owner)
    if cause is None:
        return provenance
    from planasonix.webhooks import deeper

    most, action, url = max_depth(), _action(owner, slot), inbox_url_of(credentials)
    try:
        return await within(
            NOTE_SECONDS, lambda: deeper(provenance, [cause], action=action, inbox_url=url, max_depth=most)
        )
    except TimeoutError:
        # The inbox does not answer: what the event told counts.
        return deeper(provenance, [cause], action=action, max_depth=most)


async def note_in_chain(owner: RunOwner, credentials: PlanasonixCredentials, slot: str, handle: RunHandle) -> None:
    """Tell the inbox what this flow run's event has started. Best effort: bounded, and no error."""
    cause, url = _cause_of(owner), inbox_url_of(credentials)
    if cause is None or url is None or not handle.owned:
        return
    from planasonix.webhooks import note_started

    try:
        await within(
            NOTE_SECONDS,
            lambda: note_started([cause], _action(owner, slot), handle.kind, handle.id, inbox_url=url),
        )
    except (TimeoutError, asyncio.InvalidStateError):
        return


def with_cause_of(owner: RunOwner, flow_run: Any) -> RunOwner:
    """The owner, with the event of a flow run above it where it has none of its own."""
    return owner if owner.cause is not None else replace(owner, cause=cause_in(flow_run.parameters))


def _cause_of(owner: RunOwner) -> Cause | None:
    if owner.cause is None:
        return None
    from planasonix.webhooks import Cause

    return Cause.from_dict(owner.cause)


def _action(owner: RunOwner, slot: str) -> str:
    """Of one call of one flow: the same in all its runs and tries."""
    return ".".join(filter(None, ("prefect", owner.deployment_id or owner.flow_name, owner.place, slot)))
