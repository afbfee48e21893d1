"""`build_planasonix_polling_sensor`: what became of jobs that no step of Dagster waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.names import unique_name
from dagster_planasonix.sensors.watched import Watched, WatchedAssets, watched_of
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from dagster_planasonix.sensors.listener import Read
    from dagster_planasonix.workspace import PlanasonixWorkspace


def build_planasonix_polling_sensor(
    workspace: PlanasonixWorkspace,
    assets: WatchedAssets,
    *,
    name: str = "planasonix_polling_sensor",
    minimum_interval_seconds: int = 30,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
    seconds_per_tick: float = 40.0,
    overlap_seconds: float = 300.0,
    first_look_back_seconds: float = 86_400.0,
    data_version_from_checksum: bool = False,
    description: str | None = None,
    tags: dict[str, str] | None = None,
) -> dg.SensorDefinition:
    """A sensor that tells Dagster of syncs and backfills which nobody waits for: those that Planasonix' own schedules,
    people and other tools start, and those that detached steps submitted.

    A run that ended well gives the materializations and checks that a step would have given; one that failed or was
    cancelled gives observations and a failed `planasonix_status`; one that goes on gives nothing yet. Runs that steps
    wait for are left to them. The first tick tells no history: only what ends from then on.

    :param workspace: whose jobs are looked at. Its `cancel_on_termination` also says whether a detached run that goes
        on past its deadline is cancelled.
    :param assets: the definitions or specs of the tables to tell of; definitions bring their checks. No other sensor
        should watch them: two ticks at the same moment tell a job twice.
    :param name: of the sensor; what Dagster does not accept in it is replaced.
    :param minimum_interval_seconds: between two ticks.
    :param default_status: `dagster.DefaultSensorStatus.RUNNING` starts it with the code location.
    :param seconds_per_tick: after so long a tick stops where it is, and the next one goes on. Dagster gives up a tick
        that takes longer than a minute, and all its work with it.
    :param overlap_seconds: how late the API's lists may show a run and it is still seen.
    :param first_look_back_seconds: how old a run may be that goes on at the first tick, and is told when it ends.
    :param data_version_from_checksum: a table's checksum becomes its data version.

    A backfill of so many jobs that one tick cannot read all their results is told a few ticks later, in the end with
    what is known then. Of one with so many partitions that their events fit into no message, each asset is observed.

    Raises `ConfigurationError` for bad arguments. A tick fails where the API answers nothing, and its cursor stays.
    Calls of a tick: one to three list pages for all connections, and two for each run that has ended.

        assets = build_planasonix_assets_definitions(workspace=workspace)
        sensor = build_planasonix_polling_sensor(workspace, assets)
        defs = dg.Definitions(assets=assets, sensors=[sensor])
    """
    for field, value in (
        ("minimum_interval_seconds", minimum_interval_seconds),
        ("seconds_per_tick", seconds_per_tick),
        ("overlap_seconds", overlap_seconds),
        ("first_look_back_seconds", first_look_back_seconds),
    ):
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigurationError(f"{field} must be a positive number of seconds, got {value!r}.", field=field)
    watched = watched_of(assets)
    sensor_name = unique_name(name)
    read: Read = {}

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _tick(
            context,
            workspace,
            watched,
            sensor_name,
            seconds_per_tick,
            overlap_seconds,
            first_look_back_seconds,
            data_version_from_checksum,
            read,
        )

    return dg.SensorDefinition(
        name=sensor_name,
        evaluation_fn=evaluate,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=description or "Tells of Planasonix jobs that no step waits for: foreign ones and detached ones.",
        tags=tags,
    )


def _tick(
    context: dg.SensorEvaluationContext,
    workspace: PlanasonixWorkspace,
    watched: Watched,
    sensor_name: str,
    seconds: float,
    overlap_seconds: float,
    first_look_back_seconds: float,
    data_version_from_checksum: bool,
    read: Read,
) -> dg.SensorResult:
    from dagster_planasonix.sensors.cursor_text import unpacked
    from dagster_planasonix.sensors.still_open import still_open
    from dagster_planasonix.sensors.tick import listener_of, log_of, looking, tick_result
    from planasonix.runs import PollCursor, poll_runs

    log = log_of(context)
    cursor = PollCursor.from_text(unpacked(context.cursor))
    client = looking(workspace)
    listener = listener_of(
        context,
        client,
        workspace,
        watched,
        sensor_name=sensor_name,
        seconds=seconds,
        data_version_from_checksum=data_version_from_checksum,
        read=read,
    )
    new = set(watched.connection_ids) - set(cursor.places)
    polled = poll_runs(
        client,
        cursor,
        watched.connection_ids,
        listener,
        log=log,
        seconds=seconds,
        overlap_seconds=overlap_seconds,
        first_look_back_seconds=first_look_back_seconds,
        open_at_first=still_open(context.instance, new, base_url=client.config.base_url, log=log),
    )
    return tick_result(listener, polled, cursor.to_text())
