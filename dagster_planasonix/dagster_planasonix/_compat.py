"""What Dagster has no public name for. Nothing else of this package reaches below `dagster` itself."""

from __future__ import annotations

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
