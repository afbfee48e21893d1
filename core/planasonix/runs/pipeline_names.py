"""Find a pipeline by its name: people know names, the API's run endpoint takes ids (facts §1.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from planasonix.client import AsyncPlanasonix, Planasonix

_SHOWN = 5


class _Named(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str | None: ...


def pipeline_id_of(client: Planasonix, name: str) -> str:
    """The id of the one pipeline that has exactly this name (capitals count).

    Raises `ConfigurationError`, which lists candidates, where none has it or several have, and the client's errors.

    >>> from planasonix import Planasonix
    >>> from planasonix.sandbox import Sandbox
    >>> pipeline_id_of(Planasonix("plnx_live_sandbox", transport=Sandbox().transport()), "daily_revenue")
    'pl_daily_revenue'
    """
    _check(name)
    found = _of_name(client.pipelines.list(search=name), name)
    # How `search` matches is not documented: what it does not find may be there.
    every = list(client.pipelines.list()) if len(found) != 1 else []
    return _the_one(found or _of_name(every, name), every, name)


async def apipeline_id_of(client: AsyncPlanasonix, name: str) -> str:
    """As `pipeline_id_of`."""
    _check(name)
    found = _of_name([each async for each in client.pipelines.list(search=name)], name)
    every = [each async for each in client.pipelines.list()] if len(found) != 1 else []
    return _the_one(found or _of_name(every, name), every, name)


def _check(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(
            f"pipeline_name must be the name of a pipeline, got {name!r}.",
            field="pipeline_name",
            hint="Copy it from the list of pipelines, or give pipeline_id.",
        )


def _of_name(pipelines: Iterable[_Named], name: str) -> list[_Named]:
    return [each for each in pipelines if each.name == name]


def _the_one(found: Sequence[_Named], every: Sequence[_Named], name: str) -> str:
    if len(found) == 1:
        return found[0].id
    if found:
        raise ConfigurationError(
            f"{len(found)} pipelines have the name {name!r}: {', '.join(each.id for each in found)}.",
            field="pipeline_name",
            hint="Give the pipeline_id of the one that is meant.",
        )
    by_name = {each.name: each.id for each in every if each.name}
    close = get_close_matches(name, by_name, n=_SHOWN, cutoff=0.5) or sorted(by_name)[:_SHOWN]
    near = ", ".join(f"{each!r} ({by_name[each]})" for each in close) or "none that this key can see"
    raise ConfigurationError(
        f"No pipeline has the name {name!r}. Pipelines like it: {near}.",
        field="pipeline_name",
        hint="Names are compared letter by letter; pipeline_id outlives a rename.",
    )
