"""One look at many runs, for who waits for none of them: which have ended (G6)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from planasonix.errors import AuthenticationError, NotFoundError, PlanasonixError
from planasonix.runs.effects import RunView
from planasonix.runs.handle import RunHandle
from planasonix.runs.identity import is_another
from planasonix.watch.protocols import ACTIVE_LISTS, ENDED_PHASES, KINDS, Kind

if TYPE_CHECKING:
    from planasonix.client import Planasonix

_FEW = 3
_PAGE_SIZE = 100
_SKEW = timedelta(minutes=5)


def ended_among(
    client: Planasonix, handles: Iterable[RunHandle], *, missing: bool = False
) -> dict[tuple[Kind, str], RunView | None]:
    """Those of the runs that have ended, by kind and id, as a GET has just shown each; with `missing` also those that
    cannot be found, as None.

    Many are looked for in the lists of active runs, and only those that these do not show are read: a list alone never
    says that a run has ended. It takes no more pages than there are runs; where that does not do, the rest is read one
    by one. What cannot be read now is left out. Raises `AuthenticationError` when the key is refused.

    >>> from planasonix import Planasonix
    >>> from planasonix.runs import RunHandle
    >>> from planasonix.runs.glance import ended_among
    >>> from planasonix.sandbox import Sandbox
    >>> client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=0).transport())
    >>> job = client.connections.sync("conn_shop_orders")
    >>> handle = RunHandle("job", job.id, "conn_shop_orders", True, 0.0, 0.0, "")
    >>> ended_among(client, [handle])
    {}
    """
    found: dict[tuple[Kind, str], RunView | None] = {}
    asked = list(handles)
    for kind in KINDS:
        wanted = {handle.id: handle for handle in asked if handle.kind == kind}
        active = _seen_active(client, kind, wanted) if len(wanted) > _FEW else set[str]()
        for run_id, handle in wanted.items():
            if run_id in active:
                continue
            try:
                run = _reader(client, kind).get(run_id)
            except AuthenticationError:
                raise
            except NotFoundError:
                if missing:
                    found[kind, run_id] = None
            except PlanasonixError:
                continue
            else:
                if run.phase in ENDED_PHASES and not is_another(run, handle):
                    found[kind, run_id] = run
    return found


def _seen_active(client: Planasonix, kind: Kind, wanted: dict[str, RunHandle]) -> set[str]:
    """The ids of those that the lists of active runs show."""
    lists = ACTIVE_LISTS[kind]
    since = datetime.fromtimestamp(min((one.created_at or time.time()) for one in wanted.values()), UTC) - _SKEW
    seen: set[str] = set()
    pages_left = len(wanted)
    for status in lists.statuses:
        cursor: str | None = None
        bounds = {"since": since} if status in lists.since_of else {}
        while pages_left > 0:
            pages_left -= 1
            try:
                page = _reader(client, kind).list_page(cursor=cursor, status=status, limit=_PAGE_SIZE, **bounds)
            except AuthenticationError:
                raise
            except PlanasonixError:
                break
            seen |= {run.id for run in page.rows if run.id in wanted and run.phase == "active"}
            cursor = page.cursor
            if cursor is None or len(seen) == len(wanted):
                break
    return seen


def _reader(client: Planasonix, kind: Kind) -> Any:
    return {"job": client.jobs, "backfill": client.backfills, "run": client.runs}[kind]
