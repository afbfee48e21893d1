"""A flow whose stored parameters hold no key, whatever was given for the block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from prefect.blocks.core import Block
from prefect.client.schemas.objects import State
from prefect.flows import Flow
from prefect.futures import PrefectFuture

from prefect_planasonix.known_names import refuse_unknown_names
from prefect_planasonix.option_arguments import takes_options

P = ParamSpec("P")
R = TypeVar("R")

_MASK = "**********"
_PREFECTS_OWN = {"return_state", "wait_for"}


class JobFlow(Flow[P, R]):
    """Prefect stores the parameters of a called flow before it looks at them: a key that was given by mistake, too."""

    if not TYPE_CHECKING:  # editors read the options from Prefect's own

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            # Prefect names a misspelt option at the end of some thousand characters, and not the right one.
            asked = [name for name in kwargs if name not in _PREFECTS_OWN]
            refuse_unknown_names(asked, list(self.parameters.properties), of=self.name, what="option")
            return super().__call__(*args, **kwargs)

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
