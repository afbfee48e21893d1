"""What the page of a flow run shows of a run: the artifacts as data, and how they get there."""

from __future__ import annotations

import asyncio
import doctest
import re
from collections.abc import Iterator

import pytest

import prefect_planasonix.artifacts as module
from planasonix.runs import NodeOutcome, RunWarning, TableOutcome
from prefect_planasonix.artifact_shelf import ArtifactShelf
from prefect_planasonix.artifacts import (
    artifact_key,
    end_artifacts,
    ended_progress,
    link_artifact,
    progress_artifact,
    run_name,
    stage_artifacts,
)
from tests.prefect.artifact_api import ArtifactApi, artifact_api, in_flow_run
from tests.prefect.telling_parts import (
    CONNECTION,
    LINK,
    ORDERS,
    QUIET,
    REFUNDS,
    UNREAD,
    WIDENED,
    handle,
    outcome,
    partial,
    seen,
    staged,
)

NAME = f"Planasonix backfill backfill_1 of connection {CONNECTION}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArtifactApi]:
    # Prefect's client tells of each artifact by an event, which is not what is looked at here.
    monkeypatch.setattr("prefect.events.utilities.emit_event", lambda *_, **__: None)
    with artifact_api() as running:
        yield running


def test_the_examples_are_true() -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


def test_a_key_is_valid_and_two_connections_never_share_one() -> None:
    names = [
        *("conn_shop_orders", "conn-shop-orders", "conn_shop__orders", "Conn_Shop_Orders", "conn shop orders"),
        *("_conn_shop_orders", "conn_shop_orders_", "données", "donnees", "注文", "顧客", "", "-", "a" * 60, "a" * 61),
        *("a" * 200, "a" * 200 + "b", "conn.1", "conn/1"),
    ]
    keys = [artifact_key("tables", name) for name in names]
    assert len(set(keys)) == len(names)
    for key in keys:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key), key
        assert len(key) < 100
    assert keys[0] == "planasonix-tables-conn-shop-orders"
    assert artifact_key("report", "conn_1") != artifact_key("tables", "conn_1")


def test_the_link_leads_to_the_run() -> None:
    shown = link_artifact(handle("job"), "https://app/jobs/job_1?x=(1 2)")
    assert (shown.key, shown.type) == ("planasonix-link-conn-shop-orders", "markdown")
    assert shown.data == "[job job_1](https://app/jobs/job_1?x=%281%202%29)"
    assert shown.description == f"Planasonix job job_1 of connection {CONNECTION}."
    assert "not started here" in link_artifact(handle(owned=False), LINK).description


def test_the_bar_shows_what_the_api_tells() -> None:
    assert progress_artifact(handle(), None).data == 0.0
    shown = progress_artifact(handle(), seen(41.5, job_ids=("job_1", "job_2")))
    assert shown.data == 41.5
    assert shown.description == f"{NAME}: running, 41.5 %, 2 jobs."
    of_a_job = progress_artifact(handle("job"), seen(None, rows_processed=1200))
    assert of_a_job.data == 0.0
    assert of_a_job.description.endswith(": running, 1,200 rows loaded.")
    assert progress_artifact(handle(), seen(140)).data == 0.0
    assert ended_progress(outcome(ORDERS)).data == 100.0
    assert ended_progress(partial()).data is None
    assert ended_progress(partial()).description == f"{NAME}: failed after 4 s, 12 rows loaded."


def test_the_table_says_what_became_of_each_table_the_failed_ones_first() -> None:
    [table] = end_artifacts(outcome(QUIET, ORDERS, TableOutcome("public.a", "loaded", None)))
    assert (table.type, table.key) == ("table", "planasonix-tables-conn-shop-orders")
    assert table.data == [
        {"table": "public.a", "status": "loaded", "rows": None, "checksum": None, "warnings": None},
        {"table": "public.orders", "status": "loaded", "rows": 12, "checksum": "sha256:12", "warnings": None},
        {"table": "public.quiet", "status": "no change", "rows": 0, "checksum": None, "warnings": None},
    ]
    table, _ = end_artifacts(outcome(ORDERS, UNREAD, REFUNDS, status="failed"))
    assert [row["status"] for row in table.data] == ["failed", "unknown", "loaded"]


def test_a_warning_stands_beside_the_table_that_it_names_and_in_the_report() -> None:
    other = RunWarning(None, "public.orders_old was skipped, and so was x.public.orders")
    order_lines = TableOutcome("public.order", "loaded", 1)
    table, report = end_artifacts(outcome(ORDERS, order_lines, warnings=(WIDENED, other)))
    beside = {row["table"]: row["warnings"] for row in table.data}
    assert beside == {"public.orders": f"W_WIDENED: {WIDENED.message}", "public.order": None}
    assert f"- `W_WIDENED: {WIDENED.message}`" in report.data
    assert f"- `{other.message}`" in report.data


def test_a_failure_is_told_with_its_reason() -> None:
    table, report = end_artifacts(partial())
    assert table.data[0]["table"] == "public.refunds"
    assert "    E_SOURCE: the source went away" in report.data
    assert "Failed tables: `public.refunds`" in report.data
    assert report.description == f"{NAME}: failed after 4 s, 12 rows loaded."
    [alone] = end_artifacts(outcome(status="cancelled", api_status="cancelled", rows_loaded=None))
    assert alone.role == "report"
    assert "its status is 'cancelled'" in alone.data
    [nothing] = end_artifacts(outcome())
    assert "The results name no table." in nothing.data
    assert "Error" not in nothing.data


def test_words_of_the_api_stay_words() -> None:
    hostile = RunWarning("W`1", "<img src=x onerror=alert(1)> `code` [a](javascript:x)\n# big")
    failed = outcome(status="failed", error_message="<b>no</b>\n\n# big", warnings=(hostile,))
    [report] = end_artifacts(failed)
    for line in report.data.splitlines():
        if "<" in line or "# big" in line:
            assert line.startswith(("    ", "- `")), line
    assert report.data.count("`") == 2


def test_a_run_of_a_pipeline_shows_its_nodes() -> None:
    nodes = (
        NodeOutcome("read", "success", "source", None, 10),
        NodeOutcome("write", "failed", "sink", 10, None, "disk full"),
    )
    ended = outcome(
        kind="run", id="run_1", connection_id=None, pipeline_id="pl_1", status="failed", nodes=nodes, rows_loaded=10
    )
    table, report = end_artifacts(ended)
    assert table.key == "planasonix-tables-pl-1"
    assert [row["node"] for row in table.data] == ["write", "read"]
    assert table.data[0] == {
        "node": "write", "type": "sink", "status": "failed", "rows in": 10, "rows out": None, "error": "disk full"
    }  # fmt: skip
    assert "name no table" not in report.data


def test_stages_are_shown_in_their_order() -> None:
    bar, table, report = stage_artifacts(staged("done", "failed", "not_started"))
    assert (bar.type, bar.data) == ("progress", 33.3)
    assert bar.description.endswith("failed, 1 of 3 stages done.")
    assert [row["status"] for row in table.data] == ["done", "failed", "not started"]
    assert table.data[0]["backfill"] == f"[backfill_0]({LINK})"
    assert table.data[1]["error"] == "it broke"
    assert "it broke" in report.data
    assert [each.role for each in stage_artifacts(staged("done"))] == ["progress", "tables", "report"]
    assert "W_WIDENED" in stage_artifacts(staged("done"))[2].data


def test_a_thousand_tables_are_no_artifact_of_a_thousand_rows() -> None:
    tables = [TableOutcome(f"public.t{n:04}", "failed" if n == 999 else "loaded", n) for n in range(1000)]
    table, _ = end_artifacts(outcome(*tables, status="failed"))
    assert len(table.data) == 501
    assert table.data[0]["table"] == "public.t0999"
    assert table.data[-1]["table"] == "… and 500 more"
    assert set(table.data[-1]) == set(table.data[0])


def test_no_artifact_holds_a_key() -> None:
    key = "plnx_live_" + "k1" * 12
    leaky = outcome(
        TableOutcome(f"public.{key}", "failed"),
        status="failed",
        error_message=f"refused {key}",
        warnings=(RunWarning(key, f"Bearer {key}"),),
        link=f"https://u:{key}@x/1",
    )
    shown = [*end_artifacts(leaky), ended_progress(leaky), link_artifact(handle(), f"https://x/?token={key}")]
    assert key not in repr(shown)


def _shelf(flow_run_id: object, *, is_new: bool = False, run_id: str = "backfill_1") -> ArtifactShelf:
    name = run_name("backfill", run_id, CONNECTION)
    return ArtifactShelf(CONNECTION, name, flow_run_id=flow_run_id, is_new=is_new)  # type: ignore[arg-type]


def test_an_artifact_is_written_once_and_then_updated_in_place(api: ArtifactApi) -> None:
    async def write() -> None:
        with in_flow_run() as run:
            shelf = _shelf(run.id, is_new=True)
            for percent in (0, 10, 10, 10, 20):
                await shelf.put(progress_artifact(handle(), seen(percent)))
            await shelf.put(ended_progress(partial()))
            await shelf.aclose()

    asyncio.run(write())
    [bar] = api.of("progress")
    assert [body["data"] for body in api.writes("progress")] == [0, 10, 20, 20]
    assert bar["data"] == 20
    assert bar["description"].endswith("failed after 4 s, 12 rows loaded.")
    assert bar["flow_run_id"]


def test_another_process_of_the_flow_run_updates_what_the_first_one_wrote(api: ArtifactApi) -> None:
    async def twice() -> None:
        with in_flow_run() as run:
            first, second = _shelf(run.id, is_new=True), _shelf(run.id)
            await first.put(progress_artifact(handle(), seen(40)))
            other = _shelf(run.id, run_id="backfill_12")
            await other.put(progress_artifact(handle(id="backfill_12"), seen(99, run_id="backfill_12")))
            await other.aclose()
            for again in (partial(), partial()):
                await second.put(ended_progress(again))
                for each in end_artifacts(again):
                    await second.put(each)
            await first.aclose()
            third = _shelf(run.id)
            for each in end_artifacts(partial()):
                await third.put(each)
            await second.aclose()
            await third.aclose()

    asyncio.run(twice())
    assert [bar["data"] for bar in api.of("progress")] == [40, 99]
    assert "failed" in api.of("progress")[0]["description"]
    assert (len(api.writes("tables")), len(api.writes("report"))) == (1, 1)


def test_another_flow_run_has_artifacts_of_its_own(api: ArtifactApi) -> None:
    async def both() -> None:
        for _ in range(2):
            with in_flow_run() as run:
                shelf = _shelf(run.id)
                await shelf.put(progress_artifact(handle(), None))
                await shelf.aclose()

    asyncio.run(both())
    assert len({bar["flow_run_id"] for bar in api.of("progress")}) == 2


def test_a_hundred_runs_share_a_few_connections(api: ArtifactApi) -> None:
    async def all_at_once() -> None:
        with in_flow_run() as run:
            shelves = [_shelf(run.id, is_new=True) for _ in range(100)]
            await asyncio.gather(*(shelf.put(progress_artifact(handle(), None)) for shelf in shelves))
            await asyncio.gather(*(shelf.aclose() for shelf in shelves))

    asyncio.run(all_at_once())
    assert len(api.of("progress")) == 100
    assert api.connections <= 8
