"""Put an end to a run on purpose, whoever started it, and wait until it has ended."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from planasonix.errors import WaitTimeoutError
from planasonix.runs.cancel import cancel
from planasonix.runs.drivers import perform
from planasonix.runs.handle import RunHandle
from planasonix.runs.identity import is_another, not_found
from planasonix.runs.shown import text
from planasonix.runs.target import shown_target
from planasonix.watch import Interval
from planasonix.watch.blocking import wait_until_ended
from planasonix.watch.protocols import ENDED_PHASES, Kind, WatchedRun, reader_of

if TYPE_CHECKING:
    from planasonix.client import Planasonix


@dataclass(frozen=True)
class EndedRun:
    """How a run stands after it was asked to stop.

    `status` is the phase: `cancelled`, `succeeded` or `failed`, and `active` or `cancelling` where nobody waited.
    `api_status` is the API's own word. `already_ended`: it had ended before it was asked, so that nothing was sent.
    """

    kind: Kind
    id: str
    status: str
    api_status: str
    already_ended: bool
    connection_id: str | None = None
    pipeline_id: str | None = None
    link: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def end_run(
    client: Planasonix,
    kind: Kind,
    run_id: str,
    *,
    meant: RunHandle | None = None,
    timeout_seconds: float = 300.0,
    wait: bool = True,
) -> EndedRun:
    """Cancel the run unless it has ended, and wait until it has; facts §1.1, §1.4 and C16.

    Asking twice does no harm, nor does asking for a run that has ended. A run may still end well after it was asked:
    `status` tells. `meant` is the handle that names the run, where there is one: an id that is another connection's or
    pipeline's by now is left alone. Raises `NotFoundError` for that, or an unknown id, the client's errors, and
    `WaitTimeoutError` when it has not ended after `timeout_seconds`.

    >>> from planasonix import Planasonix
    >>> from planasonix.sandbox import Sandbox
    >>> sandbox = Sandbox(speed=1000)
    >>> sandbox.script("conn_shop_orders", "stuck")
    >>> client = Planasonix("plnx_live_sandbox", transport=sandbox.transport())
    >>> job = client.connections.sync("conn_shop_orders")
    >>> end_run(client, "job", job.id).status
    'cancelled'
    """
    give_up_at = time.monotonic() + timeout_seconds
    run: Any = reader_of(client, kind).get(run_id)
    if meant is not None and is_another(run, meant):
        raise not_found(kind, run, meant)
    template = client.config.job_url_template
    if run.phase in ENDED_PHASES:
        return _ended(kind, run, meant, template, already_ended=True)
    perform(client, cancel(kind, run_id, meant=meant, patience_seconds=timeout_seconds if wait else 0.0))
    if wait:
        left = max(0.0, give_up_at - time.monotonic())
        try:
            run = wait_until_ended(client, kind, run_id, timeout_seconds=left, interval=Interval())
        except WaitTimeoutError as error:
            raise WaitTimeoutError(
                f"Planasonix {kind} {run_id} was asked to stop, and had not ended {timeout_seconds:g} s later.",
                pending=error.pending,
                hint="Some sources finish their present batch first: raise timeout_seconds, or ask again.",
            ) from None
    else:
        run = reader_of(client, kind).get(run_id)
    return _ended(kind, run, meant, template, already_ended=False)


def _ended(
    kind: Kind, run: WatchedRun, meant: RunHandle | None, template: str | None, *, already_ended: bool
) -> EndedRun:
    target_id = shown_target(run, kind) or (None if meant is None else meant.target_id) or None
    page = RunHandle(kind, run.id, target_id or "", owned=False, created_at=0.0, deadline_at=0.0, intent="")
    return EndedRun(
        kind=kind,
        id=run.id,
        status=run.phase,
        api_status=text(str(run.status)) or "",
        already_ended=already_ended,
        connection_id=page.connection_id,
        pipeline_id=page.pipeline_id,
        link=page.link(template),
    )
