"""What a run loaded, in the events of the task's outlets.

Airflow writes one event for each asset among the outlets of a task that succeeded, whatever the task did; and none for
one that failed, though some of its tables were loaded. So an event of ours says in its extra what became of the table:
`state` is `loaded`, `no_change` or `unknown`. An `AssetAlias` gets the tables that were loaded, and only those.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow_provider_planasonix._compat import Asset, AssetAlias, asset_uri_of, is_mapped_instance
from airflow_provider_planasonix.assets import table_of, table_uri
from planasonix.errors import ConfigurationError

# What runs on a worker is imported there: a DAG file only has its outlets checked.
if TYPE_CHECKING:
    from airflow_provider_planasonix.operators.run import PlanasonixRunOperator
    from planasonix.runs import Outcome, StagedOutcome, TableOutcome


def check_outlets(operator: PlanasonixRunOperator) -> None:
    """Outlets that this task can never fill truthfully are an error of the DAG file.

    Raises `ConfigurationError`. Templates and mapped parameters are not known yet: see `_of_this_task`.
    """
    refuse_unawaited(operator)
    if not _loads_tables(operator):
        _refuse_aliases(operator)
        return
    if is_mapped_instance(operator):
        return
    for outlet in operator.outlets:
        if why := _not_loaded_here(operator, outlet):
            raise ConfigurationError(f"outlets name {asset_uri_of(outlet)}, but {why}.", field="outlets")


def refuse_unawaited(operator: PlanasonixRunOperator) -> None:
    """Airflow writes the events when the task ends. Raises `ConfigurationError` where the run has not ended by then."""
    if operator.wait_for_completion:
        return
    for outlet in operator.outlets:
        uri = asset_uri_of(outlet)
        # An asset of something else is the author's own word, unless it is what stands for a pipeline's run.
        told = isinstance(outlet, AssetAlias) or table_of(uri or "") or (uri and not _loads_tables(operator))
        if told:
            raise ConfigurationError(
                "outlets say what is loaded, and with wait_for_completion=False nobody knows that yet.",
                field="outlets",
                hint="Wait for the run, or give the outlets to the task that does.",
            )


def _refuse_aliases(operator: PlanasonixRunOperator) -> None:
    if any(isinstance(outlet, AssetAlias) for outlet in operator.outlets):
        raise ConfigurationError(
            "outlets name an AssetAlias, and nothing would fill it: the run of a pipeline tells of no tables.",
            field="outlets",
            hint="Name the assets that the pipeline makes.",
        )


def _loads_tables(operator: PlanasonixRunOperator) -> bool:
    """A pipeline's operator has no connection, and its run tells of no tables."""
    return hasattr(operator, "connection_id")


def note_outcome(operator: PlanasonixRunOperator, context: Any, outcome: Outcome | StagedOutcome) -> None:
    """Keep what became of the run for OpenLineage; after a success, tell it to those who listen to the outlets.

    Never raises: a good job is not to fail for what is said about it.
    """
    operator.outcome = outcome
    if not (outcome.succeeded and operator.outlets):
        return
    try:
        _tell(operator, context["outlet_events"], outcome)
    except Exception as error:
        operator.log.warning("the events of this task's outlets say nothing of what was loaded: %r", error)


def event_extra(outcome: Outcome | StagedOutcome, table: TableOutcome) -> dict[str, Any]:
    """The extra of one table's event: plain JSON, the same names for each kind of run, None where nothing is known."""
    from planasonix.runs.table_facts import table_facts

    return table_facts(outcome, table)


def partition_keys(outcome: Outcome | StagedOutcome, key_format: str, timezone: str) -> list[str]:
    """A key for each window that was loaded: its begin, on the clocks of `timezone`."""
    from planasonix.runs import Outcome

    stages = () if isinstance(outcome, Outcome) else outcome.stages
    begins = [stage.start_at for stage in stages] or [outcome.window_start]
    zone = ZoneInfo(timezone)
    return [datetime.fromisoformat(each).astimezone(zone).strftime(key_format) for each in begins if each]


def _tell(operator: PlanasonixRunOperator, events: Any, outcome: Outcome | StagedOutcome) -> None:
    connection_id = getattr(operator, "connection_id", None)
    if connection_id is None:
        _tell_of_the_pipeline(operator, events, outcome)
        return
    operator.outlets = [outlet for outlet in operator.outlets if _of_this_task(operator, outlet)]
    tables: dict[str, TableOutcome] = {}
    for table in outcome.tables:
        try:
            tables[table_uri(connection_id, table.name)] = table
        except ValueError:
            operator.log.warning("the table %r can be no asset: a part of its name is empty", table.name)
    keys: list[str] = []
    if key_format := getattr(operator, "partition_key_format", None):
        keys = partition_keys(outcome, key_format, getattr(operator, "partition_timezone", "UTC"))
        if not keys:
            operator.log.warning("no event has a partition key: the API does not say which window was loaded")
    for outlet in operator.outlets:
        try:
            _fill(outlet, events, outcome, tables, keys)
        except Exception as error:
            operator.log.warning("the event of the outlet %r says nothing of what was loaded: %r", outlet, error)


def _tell_of_the_pipeline(operator: PlanasonixRunOperator, events: Any, outcome: Any) -> None:
    """Its run tells of no tables: whichever assets the author declared get the run itself."""
    from planasonix.runs.table_facts import run_facts

    for outlet in operator.outlets:
        if asset_uri_of(outlet) is not None:
            events[outlet].extra.update({"pipeline_id": outcome.pipeline_id, **run_facts(outcome)})


def _fill(
    outlet: object, events: Any, outcome: Outcome | StagedOutcome, tables: dict[str, TableOutcome], keys: list[str]
) -> None:
    if isinstance(outlet, AssetAlias):
        for uri, table in tables.items():
            if table.state == "loaded":
                events[outlet].add(Asset(uri=uri), extra=event_extra(outcome, table))
    elif named := table_of(asset_uri_of(outlet) or ""):
        table = tables.get(table_uri(*named)) or _not_listed(named[1], outcome)
        event = events[outlet]
        event.extra.update(event_extra(outcome, table))
        if keys:
            event.add_partitions(keys)


def _not_listed(table: str, outcome: Outcome | StagedOutcome) -> TableOutcome:
    """A table of which the results say nothing had no change, unless not all results could be read."""
    from planasonix.runs import Outcome, TableOutcome

    parts = [outcome] if isinstance(outcome, Outcome) else outcome.stages
    unread = any(warning.code == "results_not_read" for part in parts for warning in part.warnings)
    return TableOutcome(table, "unknown" if unread else "no_change")


def _of_this_task(operator: PlanasonixRunOperator, outlet: object) -> bool:
    """Mapped instances share their outlets: none may say that it loaded another one's table."""
    why = _not_loaded_here(operator, outlet)
    if why:
        operator.log.info("no event of %s: %s", asset_uri_of(outlet), why)
    return not why


def _not_loaded_here(operator: PlanasonixRunOperator, outlet: object) -> str | None:
    named = table_of(asset_uri_of(outlet) or "")
    if named is None:
        return None
    connection_id, table = named
    own = getattr(operator, "connection_id", None)
    if _is_text(own) and connection_id != own:
        return f"the task's connection is {own}"
    tables = getattr(operator, "tables", None)
    if isinstance(tables, list | tuple) and all(map(_is_text, tables)) and table not in tables:
        return f"the task loads {', '.join(tables)} only"
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "{{" not in value and "{%" not in value
