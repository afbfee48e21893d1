"""Many connections in one task group: a mapped sync, a bound on how many run at a time, their names in the UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import TaskGroup, XComArg

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix.errors import ConfigurationError

_NAME = "connection_name"
_LABEL = f"{{{{ params.get('{_NAME}') or task.connection_id }}}}"
_PER_CONNECTION = ("name", *PlanasonixSyncOperator.template_fields)
_OF_THE_GROUP = {
    "task_id": "The task is called sync; group_id is yours to choose.",
    "connection_id": "Name the connections in connections.",
    "map_index_template": "Give the connections a name, for the UI to show.",
    "max_active_tis_per_dagrun": "It is called max_active here.",
}
"""What the group says itself, and how to say it."""


def planasonix_syncs(
    group_id: str,
    connections: Sequence[str | Mapping[str, Any]] | XComArg,
    *,
    max_active: int | None = 20,
    tooltip: str = "",
    **operator_arguments: Any,
) -> XComArg:
    """Sync many connections side by side: a task group with one mapped task, an instance for each connection.

    Each instance is a wish of its own: retried, cleared and marked by itself. One that fails keeps none of the others
    from ending; what comes after the group then runs or not by its own trigger rule.

    :param group_id: of the task group; the mapped task in it is `sync`.
    :param connections: ids of Planasonix connections, or dictionaries with `connection_id`, an optional `name` that the
        UI shows, and whatever else differs from one to the next (`priority`, `pipeline_id`, `expected_tables`,
        `timeout_seconds`, …: the templated parameters of `PlanasonixSyncOperator`). Or the output of a task that
        returns such a list.
    :param max_active: how many of them run at a time in one DAG run, those that wait in the triggerer included; None:
        only Airflow's own limits, which leave deferred tasks out. The one sample of a plan's limits that is published
        has 25 concurrent runs (facts §6).
    :param tooltip: of the group in the UI.
    :param operator_arguments: what all have in common, as for `PlanasonixSyncOperator`: `deferrable`, `retries`, ….

    Returns the outcomes, one dict a connection in the order given, for a task that takes them; `>>` and `<<` work on
    it. Raises `ConfigurationError` at DAG parse for what is wrong in a list that stands in the DAG file; what a task
    returned is judged when it is known.

        planasonix_syncs("sources", ["conn_hubspot_marketing", "conn_jira_delivery"], deferrable=True, retries=2)
    """
    if max_active is not None and (isinstance(max_active, bool) or not isinstance(max_active, int) or max_active < 1):
        raise ConfigurationError(
            f"max_active must be a whole number of at least 1, or None, got {max_active!r}.", field="max_active"
        )
    for name in operator_arguments:
        if name in _OF_THE_GROUP:
            raise ConfigurationError(f"{name} is the group's own.", field=name, hint=_OF_THE_GROUP[name])
    arguments: Any
    if isinstance(connections, XComArg):
        arguments = connections.map(sync_arguments)
    elif isinstance(connections, str | bytes | Mapping) or not isinstance(connections, Sequence):
        raise ConfigurationError(
            f"connections must be a list of connection ids or dictionaries, got {connections!r}.",
            field="connections",
            hint='As in ["conn_shop_orders", {"connection_id": "conn_erp_sap", "name": "SAP"}].',
        )
    else:
        arguments = [sync_arguments(each) for each in connections]
        _no_twins(arguments)
    with TaskGroup(group_id, tooltip=tooltip):
        return (
            PlanasonixSyncOperator.partial(
                task_id="sync",
                map_index_template=_LABEL,
                max_active_tis_per_dagrun=max_active,
                **operator_arguments,
            )
            .expand_kwargs(arguments)
            .output
        )


def sync_arguments(connection: str | Mapping[str, Any]) -> dict[str, Any]:
    """What a mapped sync of this connection gets, for `expand_kwargs`. Raises `ConfigurationError`."""
    given = {"connection_id": connection} if isinstance(connection, str) else connection
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"A connection must be an id or a dictionary, got {connection!r}.", field="connections"
        )
    unknown = sorted(str(name) for name in given if name not in _PER_CONNECTION)
    if unknown:
        raise ConfigurationError(
            f"A connection has no {unknown[0]!r}.",
            field="connections",
            hint=f"Known are {', '.join(_PER_CONNECTION)}; everything else is an argument of all.",
        )
    connection_id = given.get("connection_id")
    if not isinstance(connection_id, str) or not connection_id.strip():
        raise ConfigurationError(
            f"connection_id must be the id of a Planasonix connection, got {connection_id!r}.", field="connections"
        )
    arguments = {name: value for name, value in given.items() if name != "name"}
    if given.get("name"):
        arguments["params"] = {_NAME: given["name"]}
    return arguments


def _no_twins(connections: list[dict[str, Any]]) -> None:
    """The same sync twice would wait for itself and then load nothing new, whatever it is called."""
    syncs = [{name: value for name, value in each.items() if name != "params"} for each in connections]
    for number, one in enumerate(syncs):
        if one in syncs[:number]:
            raise ConfigurationError(
                f"connection {one['connection_id']} is there twice.", field="connections", hint="Leave one of them out."
            )
