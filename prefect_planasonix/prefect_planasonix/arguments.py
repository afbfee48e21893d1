"""What calls are given, as plain data: a job block, or credentials and the rest; options by their names."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Literal

from planasonix.errors import ConfigurationError
from prefect_planasonix.credentials import PlanasonixCredentials, refuse_what_is_no_block
from prefect_planasonix.known_names import refuse_unknown_names
from prefect_planasonix.options import RunOptions

if TYPE_CHECKING:
    from planasonix.runs import RunRequest

_FIELDS: dict[str, tuple[str, ...]] = {
    "sync": ("connection_id", "pipeline_id", "priority", "expected_tables"),
    "backfill": ("connection_id", "start_at", "end_at", "tables", "priority"),
    "pipeline": ("pipeline_id", "environment_id", "variables", "forward_context"),
}


def request_for(kind: Literal["sync", "backfill", "pipeline"], source: object, **given: Any) -> RunRequest:
    """The request of a call. What is given goes before what a job block says.

    Raises `ConfigurationError`, which names the field.
    """
    from planasonix.runs import BackfillRequest, PipelineRunRequest, SyncRequest

    refuse_what_is_no_block(source)
    is_block = not isinstance(source, PlanasonixCredentials)
    values: dict[str, Any] = {}
    for name in _FIELDS[kind]:
        value = given.get(name)
        values[name] = getattr(source, name, None) if value is None and is_block else value
    for name in ("connection_id",) if kind == "sync" else ("pipeline_id",) if kind == "pipeline" else _FIELDS[kind][:3]:
        if values[name] is None:
            raise ConfigurationError(
                f"{name} is missing.", field=name, hint=f"Give {name}, or a job block that has one."
            )
    if kind == "backfill":
        tables = values.pop("tables")
        return BackfillRequest(**values, tables=None if tables is None else tuple(tables))
    if kind == "pipeline":
        values = {name: value for name, value in values.items() if value is not None}
        return PipelineRunRequest(**values)
    return SyncRequest(**{**values, "expected_tables": tuple(values["expected_tables"] or ())})


def options_from(source: object, given: dict[str, Any]) -> RunOptions:
    """The options of a call: those of a job block, and before them what is given by name.

    Raises `ConfigurationError` for a name that there is not, and for a value that makes no sense.
    """
    refuse_what_is_no_block(source)
    refuse_unknown_names(given, [each.name for each in fields(RunOptions)], of="A run", what="option")
    if isinstance(source, PlanasonixCredentials) or not hasattr(source, "credentials"):
        return RunOptions(**given)
    return replace(RunOptions.of(source), **given)


def credentials_of(source: object) -> PlanasonixCredentials:
    """The credentials of a job block, or the credentials themselves. Raises `ConfigurationError`."""
    from prefect_planasonix.credentials import require_credentials

    return require_credentials(getattr(source, "credentials", source))
