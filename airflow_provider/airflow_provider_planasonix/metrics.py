"""What the provider counts, through Airflow's own metrics (`[metrics]`: StatsD, Datadog, OpenTelemetry).

=========================  =======  ==========================  =======================================================
name                       type     tags                        counted when
=========================  =======  ==========================  =======================================================
planasonix.start           counter  `kind`                      the API accepted a start; the repeat of a start whose
                                                                answer was lost counts too
planasonix.reattach        counter  `kind`                      a try found the run of an earlier one, ended or not;
                                                                not counted for a stage
planasonix.adopt           counter  `kind`                      a try waits for a run that may be somebody else's; not
                                                                counted for a stage
planasonix.busy_wait       counter  `kind`                      the connection is busy: a wait for it begins
planasonix.finish          counter  `kind`, `status`            an end is reported: `succeeded`, `failed`,
                                                                `cancelled`; of a backfill in stages (`kind` is
                                                                `stages`) that of the whole
planasonix.duration        timer    `kind`, `status`            with it, how long the run took, by the API's stamps;
                                                                not timed for a backfill in stages
planasonix.cancel          counter  `kind`                      the API accepted a cancel; a backfill's are those of
                                                                its jobs
planasonix.deadline        counter  `kind`                      a wait passed its deadline
planasonix.give_up         counter  `error`                     a wait ended without knowing how its run ends; the
                                                                class of the error
planasonix.rate_limited    counter  `operation`                 the API answered 429
planasonix.api_calls       counter  `operation`, `status`       every answer of the API, `status` as in `2xx`; `lost`
                                                                where none came
=========================  =======  ==========================  =======================================================

`kind` is `job`, `backfill` or `run`; `operation` a name of `docs/endpoints.md`, with `_` for its dot. No id, no name of
a connection or task, no secret. Plain StatsD drops tags unless Airflow is told how to write them
(`[metrics] statsd_influxdb_enabled`). Looks that the triggerer shares are counted once, as they are made once.

Nothing here raises: a metric that cannot be sent is no failure of a task.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_planasonix._compat import stats

if TYPE_CHECKING:
    from planasonix.engine import Event
    from planasonix.runs import Outcome, Started

log = logging.getLogger(__name__)

PREFIX = "planasonix."

_STARTS = {"connections.sync": "job", "connections.backfill": "backfill", "pipelines.run": "run"}
_CANCELS = {"jobs.cancel": "job", "backfills.cancel": "backfill", "runs.cancel": "run"}


def count(name: str, **tags: str) -> None:
    """Add one to `planasonix.<name>`.

    :param tags: short words of a small set; see the table.
    """
    try:
        stats().incr(PREFIX + name, tags=tags)
    except Exception as error:
        log.debug("the metric %s was not sent: %r", name, error)


def count_started(started: Started) -> None:
    """How a try came to its run, where that took no start: it was found again, or somebody else's is waited for."""
    handle = started.handle
    if handle is not None and started.how in ("reattached", "finished"):
        count("reattach", kind=handle.kind)
    elif handle is not None and started.how == "adopted":
        count("adopt", kind=handle.kind)
    elif started.how == "busy":
        count("busy_wait", kind=started.busy_kind)


def count_end(outcome: Outcome) -> None:
    """A run's end, as it is reported, and how long the run took."""
    tags = {"kind": outcome.kind, "status": outcome.status}
    count("finish", **tags)
    _time("duration", outcome.duration_seconds, tags)


def count_event(event: Event) -> None:
    """What the client tells of its calls (`on_event`): answers, refusals for the rate's sake, starts, cancels."""
    from planasonix.engine import GaveUp, ResponseReceived, Retrying

    if isinstance(event, ResponseReceived):
        operation = event.operation.replace(".", "_")
        count("api_calls", operation=operation, status=f"{event.status // 100}xx")
        if event.status == 429:
            count("rate_limited", operation=operation)
        if event.status < 300 and event.operation in _STARTS:
            count("start", kind=_STARTS[event.operation])
        if event.status < 300 and event.operation in _CANCELS:
            count("cancel", kind=_CANCELS[event.operation])
    elif isinstance(event, Retrying | GaveUp) and event.status is None and event.reason.startswith("TransportError"):
        count("api_calls", operation=event.operation.replace(".", "_"), status="lost")


def _time(name: str, seconds: float | None, tags: Mapping[str, str]) -> None:
    if seconds is None:
        return
    try:
        stats().timing(PREFIX + name, timedelta(seconds=seconds), tags=dict(tags))
    except Exception as error:
        log.debug("the metric %s was not sent: %r", name, error)
