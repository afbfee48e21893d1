"""`build_planasonix_inbox_sensor`: what the polling sensor tells, found by events instead of lists."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from dagster_planasonix.inbox import INBOX_URL, inbox_url_of
from dagster_planasonix.names import unique_name
from dagster_planasonix.sensors.watched import Watched, WatchedAssets, watched_of
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from dagster_planasonix.sensors.hearing import Ears
    from dagster_planasonix.sensors.listener import Read
    from dagster_planasonix.workspace import PlanasonixWorkspace

_HEARS = 0.5
"""Of a tick's time; a sweep takes half of that at most."""
_TELLS_AT_LEAST_SECONDS = 5.0
_LEDGER_OVERLAP_SECONDS = 600.0
"""What was written to the ledger so long before the last tick is read again: clocks differ, and writers are slow."""


def build_planasonix_inbox_sensor(
    workspace: PlanasonixWorkspace,
    assets: WatchedAssets,
    *,
    inbox_url: str | dg.EnvVar | None = None,
    name: str = "planasonix_inbox_sensor",
    minimum_interval_seconds: int = 5,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
    seconds_per_tick: float = 40.0,
    sweep: bool = False,
    sweep_interval_seconds: float = 60.0,
    data_version_from_checksum: bool = False,
    description: str | None = None,
    tags: dict[str, str] | None = None,
) -> dg.SensorDefinition:
    """A sensor that tells Dagster of syncs and backfills which nobody waits for, as soon as their events are in the
    inbox: those that Planasonix' own schedules, people and other tools start, and those that detached steps submitted.

    It tells what `build_planasonix_polling_sensor` tells, in the same words. An event is a hint: each run is read with
    a GET before anything is told of it. The first tick tells no history: only what is delivered from then on, and the
    detached runs of the last thirty days. An event that was replayed is looked at again.

    :param workspace: whose jobs these are. Its `cancel_on_termination` also says whether a detached run that goes on
        past its deadline is cancelled.
    :param assets: the definitions or specs of the tables to tell of; definitions bring their checks.
    :param inbox_url: of the inbox; left out, the workspace's `inbox_url`, else `PLANASONIX_INBOX_URL`, read in each
        tick. Use `dg.EnvVar(…)` for one with a password.
    :param name: of the sensor; what Dagster does not accept in it is replaced. Also its name as a consumer of replays.
    :param minimum_interval_seconds: between two ticks: so late is an event felt at most. An idle tick asks the inbox
        and the ledger one question each, and the API nothing.
    :param default_status: `dagster.DefaultSensorStatus.RUNNING` starts it with the code location.
    :param seconds_per_tick: after so long a tick stops where it is, and the next one goes on. Dagster gives up a tick
        that takes longer than a minute, and all its work with it.
    :param sweep: look for what no webhook brought, every `sweep_interval_seconds`. Of all processes that sweep for an
        inbox, `planasonix webhooks serve` among them, one does it. Somebody has to: deliveries get lost, and no event
        is documented for a cancelled job.
    :param sweep_interval_seconds: between two sweeps; not below `minimum_interval_seconds`.
    :param data_version_from_checksum: a table's checksum becomes its data version.

    An inbox that cannot be reached fails no tick: it is skipped with a sentence, and later ticks read what was
    delivered meanwhile. Raises `ConfigurationError` for bad arguments. A tick fails where the API refuses the key, and
    for an inbox URL that cannot be. Calls of a tick: two for each run that has ended.

        assets = build_planasonix_assets_definitions(workspace=workspace)
        sensor = build_planasonix_inbox_sensor(workspace, assets, inbox_url=dg.EnvVar("PLANASONIX_INBOX_URL"))
        defs = dg.Definitions(assets=assets, sensors=[sensor])
    """
    for argument, value in (
        ("minimum_interval_seconds", minimum_interval_seconds),
        ("seconds_per_tick", seconds_per_tick),
        ("sweep_interval_seconds", sweep_interval_seconds),
    ):
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigurationError(f"{argument} must be a positive number of seconds, got {value!r}.", field=argument)
    if sweep and sweep_interval_seconds < minimum_interval_seconds:
        raise ConfigurationError(
            f"sweep_interval_seconds must be {minimum_interval_seconds} or more, the pause between two ticks, "
            f"got {sweep_interval_seconds!r}.",
            field="sweep_interval_seconds",
        )
    sensor = _Sensor(
        workspace,
        watched_of(assets),
        inbox_url,
        unique_name(name),
        seconds_per_tick,
        sweep_interval_seconds if sweep else None,
        data_version_from_checksum,
    )

    # A function, as Dagster looks at the names of its parameters.
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return sensor.tick(context)

    return dg.SensorDefinition(
        name=sensor.name,
        evaluation_fn=evaluate,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description=description or "Tells of Planasonix jobs that no step waits for, when their events arrive.",
        tags=tags,
    )


@dataclass
class _Sensor:
    """What stays the same for all ticks of a code server."""

    workspace: PlanasonixWorkspace
    watched: Watched
    inbox_url: str | dg.EnvVar | None
    name: str
    seconds: float
    sweep_interval_seconds: float | None
    data_version_from_checksum: bool
    read: Read = field(default_factory=dict)
    ears: Ears | None = None

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from dagster_planasonix.sensors.cursor_text import unpacked
        from dagster_planasonix.sensors.hearing import Ears
        from dagster_planasonix.sensors.inbox_cursor import InboxCursor
        from dagster_planasonix.sensors.still_open import still_open
        from dagster_planasonix.sensors.tick import listener_of, log_of, looking, tick_result
        from planasonix.runs import tell_hinted

        began = time.monotonic()
        log = log_of(context)
        url = inbox_url_of(self.workspace, self.inbox_url)
        if url is None:
            raise ConfigurationError(
                "The sensor has no inbox to read.",
                field="inbox_url",
                hint=f"Give the sensor or the workspace an inbox_url, or set {INBOX_URL} where this code runs.",
            )
        cursor = InboxCursor.from_text(unpacked(context.cursor))
        if self.ears is None:
            self.ears = Ears(self.name, self.workspace.get_client, self.sweep_interval_seconds)
        ids = self.watched.connection_ids
        trouble = self.ears.hear(url, cursor, ids, seconds=_HEARS * self.seconds, log=log)
        client = looking(self.workspace)
        now, last = time.time(), cursor.looked_at
        since = None if last is None else last - _LEDGER_OVERLAP_SECONDS
        waited_for = still_open(context.instance, ids, base_url=client.config.base_url, log=log, since=since)
        if last is None:
            # Their events may have come before the sensor did.
            for one in (one for runs in waited_for.values() for one in runs.values()):
                one.heard_at = now
        left = max(_TELLS_AT_LEAST_SECONDS, self.seconds - (time.monotonic() - began))
        listener = listener_of(
            context,
            client,
            self.workspace,
            self.watched,
            sensor_name=self.name,
            seconds=left,
            data_version_from_checksum=self.data_version_from_checksum,
            read=self.read,
        )
        polled = tell_hinted(client, cursor.runs, ids, listener, log=log, seconds=left, waited_for=waited_for)
        cursor.looked_at = now
        return tick_result(listener, polled, cursor.to_text(), *([trouble] if trouble else []))
