"""`dg scaffold defs dagster_planasonix.PlanasonixWorkspaceComponent`: a `defs.yaml` to fill in, without a secret."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, field_validator

_KEY_VARIABLE = "PLANASONIX_API_KEY"
_SECONDS = 5.0
_SHOWN = 100


class PlanasonixScaffoldParams(BaseModel):
    """What `dg scaffold defs` may be told. There is no option for a key: it would stay in the shell's history."""

    # Whoever takes the variable for the key itself must not read the key in a log.
    model_config = ConfigDict(hide_input_in_errors=True)

    connection_id: list[str] = Field(default_factory=list, description="A connection; may be repeated.")
    api_key_variable: str = Field(_KEY_VARIABLE, description="The environment variable that holds the API key.")
    base_url: str | None = Field(None, description="The API's address, if it is not the public one.")

    @field_validator("api_key_variable")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value.isascii() or not value.isidentifier() or value != value.upper():
            raise ValueError("api_key_variable is the NAME of an environment variable, in capital letters")
        return value


class PlanasonixWorkspaceScaffolder(dg.Scaffolder[PlanasonixScaffoldParams]):
    """Writes `defs.yaml`, and the connections as comments in it if the environment holds a key that works."""

    @classmethod
    def get_scaffold_params(cls) -> type[PlanasonixScaffoldParams]:
        return PlanasonixScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[PlanasonixScaffoldParams]) -> None:
        params = request.params
        workspace: dict[str, Any] = {"api_key": f"{{{{ env.{params.api_key_variable} }}}}"}
        if params.base_url:
            workspace["base_url"] = params.base_url
        attributes = {"workspace": workspace, "connections": {"by_id": list(params.connection_id)}}
        dg.scaffold_component(request, attributes)
        if request.scaffold_format == "yaml" and not params.connection_id:
            path = Path(request.target_path)
            path = path if request.append else path / "defs.yaml"
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"# {line}\n" for line in _advice(params, os.environ))


def _advice(params: PlanasonixScaffoldParams, environment: Mapping[str, str]) -> Iterable[str]:
    """Comments below the component: which connections there are, or how to find out. Never fails."""
    key = environment.get(params.api_key_variable)
    if not key:
        return [
            "Put the ids of connections into by_id, or write `connections: all`.",
            f"With {params.api_key_variable} set, scaffolding lists them here.",
        ]
    try:
        found = _connections(key, params.base_url)
    except Exception as error:  # a missing list must not stop anybody, whatever went wrong
        return [f"Put the ids of connections into by_id. They could not be listed: {type(error).__name__}."]
    more = [f"  … and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ["Put some of these into by_id; warehouses and buckets are among them:", *found[:_SHOWN], *more]


def _connections(api_key: str, base_url: str | None) -> list[str]:
    from planasonix import Planasonix

    with Planasonix(api_key, base_url, deadline_seconds=_SECONDS, timeout_seconds=_SECONDS, max_tries=1) as client:
        return [_one_line(f"  {each.id}  {each.name} ({each.type})") for each in client.connections.list()]


def _one_line(text: str) -> str:
    """A name with a line break in it would end the comment."""
    return "  " + " ".join(text.split())
