"""What the ticks of both sensors share: how they look, and what they say of it. Only how they find runs differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.sensors.cursor_text import packed
from dagster_planasonix.sensors.listener import Read, TickListener

if TYPE_CHECKING:
    from dagster_planasonix.sensors.watched import Watched
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix import Planasonix
    from planasonix.runs import Polled

_SHOWN = 10
_CALL_SECONDS = 15.0

Log = Callable[[str, str], None]


def log_of(context: dg.SensorEvaluationContext) -> Log:
    """Takes a level and a sentence."""

    def log(level: str, text: str) -> None:
        getattr(context.log, level)(text)

    return log


def looking(workspace: PlanasonixWorkspace) -> Planasonix:
    """A client that is done with each call long before Dagster ends the tick."""
    return workspace.get_client().with_options(max_tries=2, deadline_seconds=_CALL_SECONDS)


def listener_of(
    context: dg.SensorEvaluationContext,
    client: Planasonix,
    workspace: PlanasonixWorkspace,
    watched: Watched,
    *,
    sensor_name: str,
    seconds: float,
    data_version_from_checksum: bool,
    read: Read,
) -> TickListener:
    """Who makes Dagster's events of the ends that a tick finds, for about `seconds` from now."""
    return TickListener(
        client,
        context.instance,
        watched,
        sensor_name=sensor_name,
        cancel_at_deadline=workspace.cancel_on_termination,
        data_version_from_checksum=data_version_from_checksum,
        seconds=seconds,
        read=read,
        log=log_of(context),
    )


def tick_result(listener: TickListener, polled: Polled, cursor: str, *more: str) -> dg.SensorResult:
    """What the tick gives Dagster: its events, its cursor, and a story with `more` sentences at its end."""
    lines = listener.summary[:_SHOWN]
    if len(listener.summary) > _SHOWN:
        lines.append(f"… and {len(listener.summary) - _SHOWN} more")
    if polled.failed or polled.left:
        lines.append(f"{polled.failed} could not be told yet, {polled.left} are left to the next tick.")
    if polled.lists_left:
        lines.append(f"The lists of {polled.lists_left} connections are left to the next tick.")
    story = "\n".join([*lines, *more]) or "No run has ended that nobody waits for."
    return dg.SensorResult(skip_reason=story, cursor=packed(cursor), asset_events=listener.events)
