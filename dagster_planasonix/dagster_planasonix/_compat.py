"""What Dagster has no public name for. Nothing else of this package reaches below `dagster` itself."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import dagster as dg

# What Dagster's own components resolve `translation:` with.
from dagster.components.utils.translation import TranslationFn as TranslationFn
from dagster.components.utils.translation import TranslationFnResolver as TranslationFnResolver

# `dagster._cli.utils.TMP_DAGSTER_HOME_PREFIX`: importing that module would import the whole command line.
_TEMPORARY_HOME = ".tmp_dagster_home_"


def step_key_of(context: Any) -> str:
    """The key of the step that the context belongs to, mapped instances told apart.

    `get_step_execution_context` is documented for authors of frameworks, and marked neither public nor private. A
    function that a test calls directly has no step: its op's name must do.
    """
    try:
        return str(context.get_step_execution_context().step.key)
    except (dg.DagsterError, AttributeError):
        op_context = getattr(context, "op_execution_context", context)
        return str(getattr(op_context, "alias", None) or "direct")


def step_object_of(context: Any) -> object:
    """One object for all contexts of the same try of a step: an asset's context and its op's are two. The context
    itself where a test calls the function directly.
    """
    try:
        return context.get_step_execution_context()
    except (dg.DagsterError, AttributeError):
        return context


def is_awaited(context: Any, key: dg.AssetKey) -> bool:
    """Whether another step of this run, an asset's or a check's, starts only with the asset's output. Only the job's
    asset graph, which is no public type, tells it.
    """
    graph = context.job_def.asset_layer.asset_graph
    ours = {*context.assets_def.keys, *context.assets_def.check_keys}
    present = {*graph.executable_asset_keys, *graph.asset_check_keys}
    return not present.isdisjoint(graph.get(key).child_entity_keys - ours)


def run_of(context: Any) -> dg.DagsterRun:
    """The run of the step. A function that a test calls directly has none, and no later try of it either: it gets one
    that no instance knows, of its own at each call.
    """
    try:
        return context.run
    except dg.DagsterError:
        return dg.DagsterRun("direct", run_id=str(uuid.uuid4()))


def has_step_succeeded(instance: dg.DagsterInstance, run_id: str, step_key: str) -> bool:
    """Whether the step ended well in that run. The instance has no public question about a single step."""
    stats = instance.get_run_step_stats(run_id, step_keys=[step_key])
    return any(str(getattr(each.status, "value", each.status)) == "SUCCESS" for each in stats)


def is_run_retry(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the daemon began the run to retry a failed one; a person's re-execution does not carry its tag."""
    run = instance.get_run_by_id(run_id)
    return run is not None and "dagster/retry_number" in run.tags


def was_asked_to_end(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether somebody asked for the run's termination, whatever status came after. There is no public question about
    the events of one run.
    """
    kinds = {dg.DagsterEventType.RUN_CANCELING, dg.DagsterEventType.RUN_CANCELED}
    return bool(instance.get_records_for_run(run_id, of_type=kinds, limit=1).records)


def dies_with_process(instance: dg.DagsterInstance) -> bool:
    """Whether nobody will have the instance's runs once the command that made it has ended.

    In memory, or in the directory that `dg launch`, `dg dev` and `dagster asset materialize` make without DAGSTER_HOME
    and delete as they end. Only its name, which Dagster keeps fixed, tells that one from any other. A dagster.yaml
    beside it can keep the events elsewhere, and those last.
    """
    if instance.is_ephemeral:
        return True
    kept_in = getattr(instance.event_log_storage, "_base_dir", None)
    return kept_in is not None and any(part.startswith(_TEMPORARY_HOME) for part in Path(kept_in).parts)


def code_location_of(run: dg.DagsterRun) -> str | None:
    """The name of the code location that the run came from; None for a run of a script. Only the run's origin, which
    is no public type, tells it.
    """
    origin: Any = getattr(run, "remote_job_origin", None)
    location = getattr(getattr(origin, "repository_origin", None), "code_location_origin", None)
    name = getattr(location, "location_name", None)
    return None if name is None else str(name)


# --- definitions: a state that the loading process hands to all others ------------------------------------------------


def carried_state(key: str) -> str | None:
    """What an earlier load, or an earlier call of this one, carried under the key; None where nothing did.

    Only Dagster's own integrations have this: `StateBackedDefinitionsLoader` does the same for a whole `Definitions`,
    ours are lists of assets.
    """
    from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

    context = DefinitionsLoadContext.get()
    found = context.get_pending_reconstruction_metadata().get(key)
    if found is None and context.load_type is DefinitionsLoadType.RECONSTRUCTION:
        found = context.reconstruction_metadata.get(key)
    return found


def carry_state(key: str, text: str) -> None:
    """Hand the text to the processes that will build the same definitions again: run workers and steps."""
    from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext

    DefinitionsLoadContext.get().add_to_pending_reconstruction_metadata(key, text)
