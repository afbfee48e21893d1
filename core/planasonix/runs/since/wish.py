"""What somebody waits for who started nothing: a run of this connection since then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from planasonix.errors import ConfigurationError
from planasonix.watch import Kind

WantedStatus = Literal["succeeded", "ended"]


@dataclass(frozen=True)
class RunSince:
    """The first run of a target that ended well and was created at `since` or later (facts §1.1).

    `kind` is `job` or `backfill`, and `target_id` a connection. `since` is an aware datetime or ISO 8601 text with an
    offset, by our clock, and kept in UTC: how far the API's clock is from ours is learned from its answers, and what
    was created within the 3 s before `since` by a fast one counts, too. `job_type` narrows jobs, for example to
    `connection_sync`; None takes any. `wanted_status` `ended` takes any end. Otherwise `fail_on_failure` says whether
    the wait ends once runs were created, all have ended, and none well; False waits for a newer one.

    The run of a pipeline is not waited for so: it shows when it left its queue, and one that ended in there is in no
    list that is bounded in time (facts §1.4).

    Raises `ConfigurationError`, which names the field and the fix.

    >>> RunSince("job", "conn_shop_orders", "2026-01-01T00:00Z", "connection_sync").since.isoformat()
    '2026-01-01T00:00:00+00:00'
    """

    kind: Kind
    target_id: str
    since: datetime
    job_type: str | None = None
    wanted_status: WantedStatus = "succeeded"
    fail_on_failure: bool = True

    def __post_init__(self) -> None:
        from planasonix.runs.staged.windows import instant

        if self.kind not in ("job", "backfill"):
            raise ConfigurationError(
                f"kind must be job or backfill, got {self.kind!r}.",
                field="kind",
                hint="A connection_sync is a job. The run of a pipeline can be waited for by its id.",
            )
        if not isinstance(cast("object", self.target_id), str) or not self.target_id.strip():
            raise ConfigurationError(
                f"connection_id must be the id of a Planasonix connection, got {self.target_id!r}.",
                field="connection_id",
                hint="Copy it from its page in Planasonix.",
            )
        object.__setattr__(self, "since", instant("since", self.since))
        if self.wanted_status not in get_args(WantedStatus):
            raise ConfigurationError(
                f"wanted_status must be one of {', '.join(get_args(WantedStatus))}, got {self.wanted_status!r}.",
                field="wanted_status",
            )
        job_type = cast("object", self.job_type)
        if job_type is not None and (not isinstance(job_type, str) or not job_type.strip()):
            raise ConfigurationError(
                f"job_type must be a job's type, or None for any, got {job_type!r}.",
                field="job_type",
                hint="The published ones are connection_sync, backfill and pipeline_run.",
            )
        if not isinstance(cast("object", self.fail_on_failure), bool):
            raise ConfigurationError(
                f"fail_on_failure must be True or False, got {self.fail_on_failure!r}.", field="fail_on_failure"
            )

    def __str__(self) -> str:
        what = self.job_type or self.kind
        return f"{what} of {self.target_id} since {self.since.isoformat().replace('+00:00', 'Z')}"
