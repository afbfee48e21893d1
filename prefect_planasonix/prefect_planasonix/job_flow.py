"""A flow whose stored parameters hold no key, whatever was given for the block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from prefect.blocks.core import Block
from prefect.client.schemas.objects import State
from prefect.flows import Flow
from prefect.futures import PrefectFuture

from prefect_planasonix.option_arguments import takes_options

P = ParamSpec("P")
R = TypeVar("R")

_MASK = "**********"


class JobFlow(Flow[P, R]):
    """Prefect stores the parameters of a called flow before it looks at them: a key that was given by mistake, too."""

    def serialize_parameters(self, parameters: dict[str, Any | PrefectFuture[Any] | State]) -> dict[str, Any]:
        told = {name: _MASK if name == "credentials" and _may_hold_a_key(it) else it for name, it in parameters.items()}
        return super().serialize_parameters(told)

    def with_options(self, *given: Any, **how: Any) -> Any:
        changed = super().with_options(*given, **how)
        changed.__class__ = type(self)  # Prefect makes a plain flow
        return changed


def job_flow(name: str) -> Callable[[Callable[P, R]], JobFlow[P, R]]:
    """Make a flow of a function that takes the options of a run, as Prefect's `flow` does."""

    def make(function: Callable[P, R]) -> JobFlow[P, R]:
        return JobFlow(takes_options(function), name=name, persist_result=False)

    return make


def _may_hold_a_key(given: object) -> bool:
    if isinstance(given, Mapping):
        return set(given) != {"$ref"}
    return not isinstance(given, Block | PrefectFuture | State)
