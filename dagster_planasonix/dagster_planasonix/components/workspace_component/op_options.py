"""The `op:` of YAML: what every op of the component gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import dagster as dg

from dagster_planasonix.asset_decorator import POOL


class RetryOptions(dg.Model):
    """Dagster's `RetryPolicy`."""

    max_retries: int = 1
    delay: float | None = None
    backoff: Literal["LINEAR", "EXPONENTIAL"] | None = None
    jitter: Literal["FULL", "PLUS_MINUS"] | None = None


class BackfillPolicyOptions(dg.Model):
    """Dagster's `BackfillPolicy`."""

    type: Literal["single_run", "multi_run"] = "single_run"
    max_partitions_per_run: int = 1


class OpOptions(dg.Model):
    """`name_prefix` before the connection's id, `pool` with `{connection_id}` in it, tags for the executor."""

    name_prefix: str = ""
    pool: str | None = POOL
    tags: Mapping[str, Any] | None = None
    retry_policy: RetryOptions | None = None
    backfill_policy: BackfillPolicyOptions | None = None

    def knobs(self) -> dict[str, Any]:
        """As `asset_defs.assets_of_state` takes them."""
        retry, backfill = self.retry_policy, self.backfill_policy
        return {
            "op_name_prefix": self.name_prefix,
            "pool": self.pool,
            "op_tags": self.tags,
            "retry_policy": None
            if retry is None
            else dg.RetryPolicy(
                max_retries=retry.max_retries,
                delay=retry.delay,
                backoff=None if retry.backoff is None else dg.Backoff[retry.backoff],
                jitter=None if retry.jitter is None else dg.Jitter[retry.jitter],
            ),
            "backfill_policy": None
            if backfill is None
            else dg.BackfillPolicy.single_run()
            if backfill.type == "single_run"
            else dg.BackfillPolicy.multi_run(backfill.max_partitions_per_run),
        }


def resolve_op(context: dg.ResolutionContext, model: Any) -> OpOptions:
    """Templates in it are rendered first."""
    return OpOptions() if model is None else OpOptions(**context.resolve_value(model.model_dump(exclude_unset=True)))
