"""What a user may say in the launchpad: a window to load again, without a change of code."""

import dagster as dg
from pydantic import Field


class PlanasonixRunConfig(dg.Config):
    """Run config of an op that passes it on: a backfill of a window in the place of a sync.

    Both ends are ISO 8601 texts with an offset, the window is half-open. `tables` are names as the API writes them,
    each that of a selected asset; left out, all selected ones. For assets without partitions: those have windows.

        @planasonix_assets(connection_id="conn_shop_orders", workspace=workspace)
        def shop(context, config: PlanasonixRunConfig):
            yield from workspace.sync_and_poll(context, config=config)

    and in the launchpad:

        ops: {conn_shop_orders: {config: {start_at: "2026-01-01T00:00:00Z", end_at: "2026-01-08T00:00:00Z"}}}
    """

    start_at: str | None = Field(default=None, description="Load from here on: ISO 8601 with an offset.")
    end_at: str | None = Field(default=None, description="Load up to here, and not this moment: ISO 8601 with an offset.")
    tables: list[str] | None = Field(default=None, description="Only these tables, as in public.orders.")
