"""What stands in the DAG file and cannot be sent is an error of that file, not of tonight's run.

In plain Python: the models of the request, which check again on the worker, are too dear for each parse.
"""

from __future__ import annotations

from airflow_provider_planasonix.rendered import is_known
from planasonix.errors import ConfigurationError
from planasonix.runs.requests import require_id, table_names


def check_connection_id(value: object) -> None:
    if is_known(value):
        require_id("connection", value)


def check_name(field: str, value: object) -> None:
    """A single word or id that may be left out."""
    if value is None or not is_known(value):
        return
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{field} must be a text that is not empty, or None, got {value!r}.", field=field)


def check_tables(field: str, value: object, *, may_be_empty: bool) -> None:
    if is_known(value) and not table_names(field, value) and not may_be_empty:
        raise ConfigurationError(f"{field} is empty.", field=field, hint="Name tables, or leave it out for all.")


def check_window(start_at: object, end_at: object) -> None:
    """Both ends or none, each a moment with a time zone, the later one last; an end that is a template may be any."""
    known = {name: at for name, at in (("start_at", start_at), ("end_at", end_at)) if is_known(at)}
    given = {name: at for name, at in known.items() if at is not None}
    if not given:
        return
    # Imported on use: a DAG file without a window does not pay for it.
    from planasonix.runs.staged.windows import instant, window_of

    if len(given) == 2:
        window_of(start_at, end_at)
        return
    if len(known) == 2:
        [missing] = set(known) - set(given)
        raise ConfigurationError(f"{missing} is missing: give both start_at and end_at, or neither.", field=missing)
    for name, at in given.items():
        instant(name, at)
