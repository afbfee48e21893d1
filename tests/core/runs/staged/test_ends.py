"""What became of each stage, table by table."""

from __future__ import annotations

import pytest

from planasonix import Planasonix
from planasonix.errors import RunFailedError
from planasonix.runs import BackfillRequest, MemoryBook, StagedBackfill, plan_stages, stage_ends
from planasonix.runs.staged.drive import run_stages_to_end
from planasonix.runs.staged.wish import HEADER
from planasonix.sandbox import Sandbox
from planasonix.watch import Interval

CONNECTION = "conn_shop_orders"
ORDERS, ITEMS = "public.orders", "public.order_items"


def test_each_stage_tells_its_own_tables_and_what_never_began_is_not_there() -> None:
    sandbox = Sandbox(speed=5000)
    sandbox.script(
        CONNECTION,
        sequence=[{"tables": {ORDERS: 1, ITEMS: 2}}, {"outcome": "failed", "loaded_tables": [ORDERS]}],
    )
    stages = plan_stages("2026-01-01T00:00Z", "2026-01-05T00:00Z", "1d")
    request = BackfillRequest(CONNECTION, stages[0].start_at, stages[-1].end_at, (ORDERS, ITEMS))
    asked = StagedBackfill(request, stages, stop_after_failures=1)
    book = MemoryBook()
    with Planasonix("plnx_live_sandbox", transport=sandbox.transport()) as client, pytest.raises(RunFailedError):
        run_stages_to_end(client, asked, book=book, interval=Interval(fixed_seconds=0.01))
    header = book.read(HEADER)
    assert header is not None
    ends = stage_ends(book, asked, intent=header["intent"])
    assert list(ends) == [stage.name for stage in stages[:2]]
    good, bad = ends.values()
    assert {table.name: (table.state, table.rows_loaded) for table in good.tables} == {
        ORDERS: ("loaded", 1),
        ITEMS: ("loaded", 2),
    }
    assert (good.kind, good.connection_id, good.succeeded) == ("backfill", CONNECTION, True)
    assert (good.window_start, good.window_end) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    assert {table.name: table.state for table in bad.tables} == {ORDERS: "loaded", ITEMS: "failed"}
    assert (bad.status, bad.error_code) == ("failed", "source_unavailable")
    assert good.id != bad.id
    # What is loaded counts for whichever wish goes on with it; what failed does not.
    assert stage_ends(book, asked, intent="another").keys() == {stages[0].name}
