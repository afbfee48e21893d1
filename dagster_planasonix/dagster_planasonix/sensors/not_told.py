"""What an asset shows of a run that the sensor could not tell, and does not try any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix.checks import STATUS
from dagster_planasonix.sensors.told import DAGSTER_RUN, TOLD_BY
from planasonix.errors import PlanasonixError
from planasonix.runs import RunHandle
from planasonix.watch import Kind

if TYPE_CHECKING:
    from dagster_planasonix.events import AssetEvent
    from dagster_planasonix.ledger import LedgerEntry
    from dagster_planasonix.sensors.watched import Watched


def not_told_events(
    watched: Watched,
    connection_id: str,
    kind: Kind,
    run_id: str,
    why: Exception,
    *,
    entry: LedgerEntry | None,
    sensor_name: str,
    job_url_template: str | None,
) -> tuple[str, list[AssetEvent]]:
    """(a sentence, and for each asset that the run was to load an observation with it, and a status that warns).

    `entry` is the ledger's of a detached run. The run's id stands under another name than in events that tell of it:
    who looks for those, as reconcile does, must not find these.
    """
    text = f"What became of Planasonix {kind} {run_id} of connection {connection_id} could not be told: "
    text += why.headline() if isinstance(why, PlanasonixError) else f"{type(why).__name__}: {why}"
    text = text.removesuffix(".") + ". Whether it ended, and what it loaded, is not known: look at it in Planasonix"
    text += "." if entry is None else ", or run reconcile."
    metadata: dict[str, Any] = {f"planasonix/not_told_{kind}_id": run_id, TOLD_BY: sensor_name}
    if entry is not None:
        metadata[DAGSTER_RUN] = entry.owner.run_id
    if link := RunHandle(kind, run_id, connection_id, False, 0.0, 0.0, "").link(job_url_template):
        metadata[f"planasonix/{kind}_url"] = dg.MetadataValue.url(link)
    events: list[AssetEvent] = []
    for key in _keys(watched, connection_id, entry):
        partition = entry.partition if entry is not None and key in watched.partitions else None
        events.append(dg.AssetObservation(key, description=text, metadata=metadata, partition=partition))
        if any((check.asset_key, check.name) == (key, STATUS) for check in watched.checks):
            events.append(
                dg.AssetCheckEvaluation(
                    asset_key=key,
                    check_name=STATUS,
                    passed=False,
                    description=text,
                    metadata=metadata,
                    severity=dg.AssetCheckSeverity.WARN,
                    partition=partition,
                )
            )
    return text, events


def _keys(watched: Watched, connection_id: str, entry: LedgerEntry | None) -> list[dg.AssetKey]:
    """Those that the step was to load; all of the connection where nobody knows."""
    keys = list(watched.of_connection(connection_id))
    named = set() if entry is None else {dg.AssetKey.from_user_string(key) for key in entry.owner.asset_keys}
    return [key for key in keys if key in named] or keys
