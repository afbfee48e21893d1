"""The `workspace:` of YAML: the resource, where `{{ env.X }}` stays a name until a run needs the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_origin

import dagster as dg
from pydantic import BaseModel, StringConstraints, ValidationError, create_model, model_validator

from dagster_planasonix.workspace import PlanasonixWorkspace

API_KEY_VARIABLE = "PLANASONIX_API_KEY"
_ENV = re.compile(r"\{\{\s*env(?:\.(\w+)|\(\s*['\"](\w+)['\"]\s*\))\s*\}\}")
# `dg check` holds the file to the model and names the line, which a check made later cannot do.
_Template: Any = Annotated[str, StringConstraints(pattern=r"\{\{.*\}\}")]


def _fields() -> Mapping[str, Any]:
    """Each field of the resource as its own type or a template, none required: the key has a default of its own."""
    fields: dict[str, Any] = {}
    for name, field in PlanasonixWorkspace.model_fields.items():
        annotation: Any = field.annotation
        fields[name] = (annotation | (_Template if get_origin(annotation) is Literal else str) | None, None)
    return fields


WorkspaceModel: Any = create_model("PlanasonixWorkspaceModel", __base__=dg.Model, **_fields())


@cache
def quoting_nothing(model: type[BaseModel]) -> type[BaseModel]:
    """The same model, whose errors show no values: Dagster quotes all of `workspace:`, and a key may stand there."""

    def check(cls: Any, value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            found: list[Any] = [{**each, "input": "not shown"} for each in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(error.title, found, hide_input=True) from None

    checks: Any = {"quoting_nothing": model_validator(mode="wrap")(check)}
    return create_model(model.__name__, __base__=model, __validators__=checks)


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
