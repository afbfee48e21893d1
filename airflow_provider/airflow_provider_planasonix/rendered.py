"""Templates give text: what a field's template rendered is brought back to the type of that field.

With `render_template_as_native_obj=True` Airflow does it itself; without it, a list comes as its text. Both end in the
same request. What cannot be read is left as it is, for the check of that field, which names it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

from planasonix.errors import ConfigurationError

_WORDS = {"True": True, "true": True, "False": False, "false": False}


def _number(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _flag(text: str) -> Any:
    return _WORDS.get(text, text)


def _collection(text: str) -> Any:
    """A list or dictionary as Python writes it, or as the filter `tojson` does."""
    if text[:1] not in ("[", "(", "{"):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "timeout_seconds": _number,
    "poll_interval_seconds": _number,
    "max_active_stages": _number,
    "stop_after_failures": _number,
    "wait_for_completion": _flag,
    "cancel_on_kill": _flag,
    "tables": _collection,
    "expected_tables": _collection,
    "partitions": _collection,
    "metadata": _collection,
    "variables": _collection,
}


def type_rendered_fields(operator: Any) -> None:
    """Give the rendered fields of an operator their types. The word `None` means None in every field: no other can be
    meant by it, and a native rendering gives the same.
    """
    for name in operator.template_fields:
        value = getattr(operator, name, None)
        if not isinstance(value, str):
            continue
        text = value.strip()
        if text == "None":
            setattr(operator, name, None)
        elif name in _READERS and text:
            setattr(operator, name, _READERS[name](text))
    if getattr(operator, "expected_tables", ()) is None:
        operator.expected_tables = ()


def is_known(value: object) -> bool:
    """Whether a value stands in the DAG file: neither a template, nor another task's result, nor a function."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, list | tuple):
        return all(is_known(each) for each in value)
    return not callable(value) and not hasattr(value, "resolve")


def require_flag(field: str, value: object) -> None:
    """Every text is true to Python, the text `False` included. Raises `ConfigurationError` for what is no boolean."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{field} must be True or False, got {value!r}.", field=field)
