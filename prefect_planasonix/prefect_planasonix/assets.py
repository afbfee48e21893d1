"""The tables of a run as Prefect assets: `planasonix://<connection id>/<schema>/<table>`.

=====================  ==============================================================================================
a table that           gives
=====================  ==============================================================================================
was loaded             `prefect.asset.materialization.succeeded`, with rows and checksum
had no change          the same with no rows: it is as fresh as one that a row was loaded into
failed                 `prefect.asset.materialization.failed`, with the error of the run
is unknown, because    nothing: neither would be true
results were not read
=====================  ==============================================================================================

`@materialize` wants the names of its assets before a task runs, and which tables a run loads is known when it has
ended. So these events are sent by `emit_event`, in the form that Prefect's events reference gives for them. Where the
task that waits does materialize the table by `@materialize`, Prefect tells of it when the task ends; then the rows are
added to that by `add_asset_metadata`, and nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planasonix.errors import redact_data
from prefect_planasonix.asset_keys import DEFAULT_KEY_TEMPLATE, asset_key, check_template, table_asset
from prefect_planasonix.events import EventToTell, event_id

if TYPE_CHECKING:
    from planasonix.runs import Outcome, StagedOutcome, TableOutcome

__all__ = [
    "DEFAULT_KEY_TEMPLATE",
    "add_to_own_assets",
    "asset_events",
    "asset_key",
    "asset_metadata",
    "check_template",
    "table_asset",
]

_STATUS = {"loaded": "succeeded", "no_change": "succeeded", "failed": "failed"}


def asset_events(
    outcome: Outcome | StagedOutcome,
    *,
    key_template: str = DEFAULT_KEY_TEMPLATE,
    source_template: str | None = None,
    flow_run_id: UUID | None = None,
    told_by_prefect: Mapping[str, Any] | None = None,
) -> list[EventToTell]:
    """The events of all tables of an ended run, an `Outcome` or a `StagedOutcome`.

    `source_template` gives the key of the asset that a table is loaded from; it is then upstream of the table, and
    said to be referenced. Assets in `told_by_prefect` are left out. The run of a pipeline tells of no tables.
    """
    events: list[EventToTell] = []
    for key, table in _keyed(outcome, key_template).items():
        status = _STATUS.get(table.state)
        if status is None or key in (told_by_prefect or {}):
            continue
        word = f"{status} {key} {_which(outcome)}"
        related = [{"prefect.resource.id": "planasonix", "prefect.resource.role": "asset-materialized-by"}]
        source = asset_key(str(outcome.connection_id), table.name, source_template) if source_template else None
        if source:
            related.insert(0, {"prefect.resource.id": source, "prefect.resource.role": "asset"})
            referenced = event_id("asset", source, f"referenced {_which(outcome)}", flow_run_id=flow_run_id)
            events.append(EventToTell("prefect.asset.referenced", referenced, {"prefect.resource.id": source}, [], {}))
        events.append(
            EventToTell(
                event=f"prefect.asset.materialization.{status}",
                id=event_id("asset", key, word, flow_run_id=flow_run_id),
                resource={"prefect.resource.id": key},
                related=related,
                payload=asset_metadata(outcome, table),
            )
        )
    return events


def asset_metadata(outcome: Outcome | StagedOutcome, table: TableOutcome) -> dict[str, Any]:
    """What a run did to a table, in the words of the other orchestrators' events; what is unknown is left out."""
    from planasonix.runs.table_facts import table_facts

    facts = table_facts(outcome, table)
    if table.state == "failed":
        facts["error_code"] = getattr(outcome, "error_code", None)
        facts["error_message"] = getattr(outcome, "error_message", None)
    return redact_data({name: value for name, value in facts.items() if value not in (None, [])})


def add_to_own_assets(outcome: Outcome | StagedOutcome, key_template: str = DEFAULT_KEY_TEMPLATE) -> dict[str, Any]:
    """Give rows and checksums to those tables that the running task materializes by `@materialize`.

    Returns what was added, by asset key: Prefect tells of these assets itself, when the task ends.
    """
    from prefect.assets import add_asset_metadata

    added: dict[str, Any] = {}
    for key, table in _keyed(outcome, key_template).items():
        metadata = asset_metadata(outcome, table)
        try:
            add_asset_metadata(key, metadata)
        except RuntimeError:
            # No task runs here, or none that knows of assets.
            return added
        except ValueError:
            # An asset that the task did not announce.
            continue
        added[key] = metadata
    return added


def _keyed(outcome: Outcome | StagedOutcome, key_template: str) -> dict[str, TableOutcome]:
    connection_id = outcome.connection_id
    if not connection_id:
        return {}
    keyed = ((asset_key(connection_id, table.name, key_template), table) for table in outcome.tables)
    return {key: table for key, table in keyed if key is not None}


def _which(outcome: Outcome | StagedOutcome) -> str:
    """The run, for the ids of its assets' events: of stages those that ended, since a retry brings more of them."""
    run_id = getattr(outcome, "id", None)
    if run_id is not None:
        return f"{getattr(outcome, 'kind', '')} {run_id}"
    ended = (stage for stage in getattr(outcome, "stages", ()) if stage.state not in ("active", "not_started"))
    return " ".join(f"{stage.state} {stage.id or stage.name}" for stage in ended)
