"""What a user may say in the launchpad: a window to load again, without a change of code."""

from datetime import datetime

import dagster as dg
from pydantic import Field

from planasonix.errors import ConfigurationError


class PlanasonixRunConfig(dg.Config):
    """Run config of an op that passes it on: a backfill of a window in the place of a sync.

    Both ends are ISO 8601 texts with an offset, the window is half-open. `tables` are names as the API writes them,
    each that of a selected asset; left out, all selected ones. For assets without partitions: those have windows.

        @planasonix_assets(connection_id="conn_shop_orders", workspace=workspace)
        def shop(context, config: PlanasonixRunConfig):
            yield from workspace.sync_and_poll(context, config=config)

    and in the launchpad:

        ops: {shop: {config: {start_at: "2026-01-01T00:00:00Z", end_at: "2026-01-08T00:00:00Z"}}}
    """

    start_at: str | None = Field(default=None, description="Load from here on: ISO 8601 with an offset.")
    end_at: str | None = Field(default=None, description="Load up to this moment, without it.")
    tables: list[str] | None = Field(default=None, description="Only these tables, as in public.orders.")


def window_asked_for(config: PlanasonixRunConfig | None) -> tuple[datetime, datetime] | None:
    """The window of the run config, both ends in UTC; None where it asks for none.

    Raises `ConfigurationError`, which names the field: half a window, an end that is no moment or comes before the
    start, tables without a window.
    """
    if config is None or (config.start_at is None and config.end_at is None):
        if config is not None and config.tables is not None:
            raise ConfigurationError(
                "tables needs start_at and end_at: a sync loads the whole connection.",
                field="tables",
                hint="Give a window, or select the assets.",
            )
        return None
    from planasonix.runs.staged.windows import window_of

    for field in ("start_at", "end_at"):
        if getattr(config, field) is None:
            raise ConfigurationError(f"{field} is missing: a window has two ends.", field=field)
    return window_of(config.start_at, config.end_at)
