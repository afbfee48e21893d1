"""The `workspace:` of YAML: the resource, where `{{ env.X }}` stays a name until a run needs the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import create_model

from dagster_planasonix.workspace import PlanasonixWorkspace

API_KEY_VARIABLE = "PLANASONIX_API_KEY"
_ENV = re.compile(r"\{\{\s*env(?:\.(\w+)|\(\s*['\"](\w+)['\"]\s*\))\s*\}\}")


def _fields() -> Mapping[str, Any]:
    """Each field of the resource as its own type or a template, none required: the key has a default of its own."""
    return {
        name: (field.annotation | str | None, None)  # type: ignore[operator]
        for name, field in PlanasonixWorkspace.model_fields.items()
    }


WorkspaceModel: Any = create_model("PlanasonixWorkspaceModel", __base__=dg.Model, **_fields())


def resolve_workspace(context: dg.ResolutionContext, model: Any) -> PlanasonixWorkspace:
    """The resource. `{{ env.X }}` becomes `dg.EnvVar("X")`: no secret is read when definitions are loaded, so that they
    load without one. Without `api_key` it is the environment variable PLANASONIX_API_KEY.
    """
    given = {} if model is None else model.model_dump(exclude_unset=True)
    settings = {name: _value(context, name, value) for name, value in given.items()}
    settings = {name: value for name, value in settings.items() if value is not None}
    return PlanasonixWorkspace(**{"api_key": dg.EnvVar(API_KEY_VARIABLE), **settings})


def _value(context: dg.ResolutionContext, name: str, value: Any) -> Any:
    # Only what is text in the end: numbers and switches are checked when definitions are loaded.
    if isinstance(value, str) and (found := _ENV.fullmatch(value.strip())) and _is_text(name):
        return dg.EnvVar(found[1] or found[2])
    return context.at_path(name).resolve_value(value)


def _is_text(name: str) -> bool:
    annotation = PlanasonixWorkspace.model_fields[name].annotation
    return annotation is str or annotation == (str | None)
