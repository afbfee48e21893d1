"""The options of a run as keyword arguments of tasks and flows: typed for editors, and told to Prefect's form."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypedDict, TypeVar, get_args, get_type_hints

from prefect_planasonix import block_options as texts
from prefect_planasonix.options import RunOptions

F = TypeVar("F", bound=Callable[..., Any])


class OptionArguments(TypedDict, total=False):
    """What `**options` of a task or flow takes: each is optional, with the default of `RunOptions`."""

    timeout_seconds: texts.TimeoutSeconds
    poll_interval_seconds: texts.PollIntervalSeconds
    if_running: texts.IfRunningField
    cancel_on_cancellation: texts.CancelOnCancellation
    on_shutdown: texts.OnShutdownField
    on_paused: texts.OnPausedField
    run_key: texts.RunKey
    artifacts: texts.Artifacts
    events: texts.Events
    assets: texts.Assets
    asset_key_template: texts.AssetKeyTemplate
    source_key_template: texts.SourceKeyTemplate


def takes_options(function: F) -> F:
    """Give the function of a flow one parameter for each option in the place of its `**options`, and describe all.

    Prefect makes the form of a flow from the signature of its function, and takes the descriptions from a section
    `Args:` of its docstring; those that a type is annotated with it passes over.
    """
    signature = inspect.signature(function, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    types = get_type_hints(OptionArguments, include_extras=True)
    options = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=types[one.name])
        for one in fields(RunOptions)
    ]
    parameters = [*own, *options]
    described = "\n".join(f"    {each.name}: {_description(each.annotation)}" for each in parameters)
    function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nArgs:\n{described}\n"
    setattr(function, "__signature__", signature.replace(parameters=parameters))  # noqa: B010
    return function


def _description(annotation: Any) -> str:
    return next(one.description for one in get_args(annotation)[1:] if getattr(one, "description", None))
