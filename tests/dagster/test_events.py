"""From an outcome to Dagster's events: every state of a table, row counts, names, metadata."""

from __future__ import annotations

import dagster as dg
import pytest

from dagster_planasonix.events import DATA_VERSION_TAG, events_of
from dagster_planasonix.results import not_loaded, not_reported, table_results
from dagster_planasonix.targets import TableAsset
from planasonix.runs import TableOutcome
from tests.dagster.outcomes import CONNECTION, assets, loaded, outcome, shown, warning

ORDERS, ITEMS = dg.AssetKey("orders"), dg.AssetKey("order_items")
UNREAD = warning("results_not_read", "no results of 1 of 1 jobs: job_1 and on")


def of_type(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def test_each_table_tells_of_its_own_rows() -> None:
    ended = outcome(loaded("public.orders", 48), loaded("public.order_items", 131, "sha256:ab"), rows_loaded=179)
    events = events_of(ended, assets("public.orders", "public.order_items"))
    told = {event.asset_key: shown(event) for event in of_type(events, dg.AssetMaterialization)}
    assert told[ORDERS]["dagster/row_count"] == 48
    assert told[ITEMS]["dagster/row_count"] == 131
    assert told[ITEMS]["planasonix/checksum"] == "sha256:ab"
    assert told[ITEMS]["dagster/table_name"] == "public.order_items"
    assert told[ORDERS]["planasonix/job_id"] == "job_1"
    assert told[ORDERS]["planasonix/duration_seconds"] == 4.5
    assert told[ORDERS]["planasonix/job_url"] == "https://app.example/jobs/job_1"
    assert "dagster/partition_row_count" not in told[ORDERS]


def test_the_link_can_be_clicked() -> None:
    (event, *_) = events_of(outcome(loaded("public.orders")), assets("public.orders"))
    assert isinstance(event.metadata["planasonix/job_url"], dg.UrlMetadataValue)
    (bare, *_) = events_of(outcome(loaded("public.orders"), link=None), assets("public.orders"))
    assert "planasonix/job_url" not in bare.metadata


def test_a_window_counts_for_its_partition_and_names_its_bounds() -> None:
    ended = outcome(
        loaded("public.orders", 5),
        kind="backfill",
        id="bf_1",
        window_start="2026-01-05T00:00:00Z",
        window_end="2026-01-06T00:00:00Z",
        job_ids=("job_1", "job_2"),
    )
    event = events_of(ended, assets("public.orders"), partition="2026-01-05")[0]
    assert isinstance(event, dg.AssetMaterialization)
    assert event.partition == "2026-01-05"
    told = shown(event)
    assert told["dagster/partition_row_count"] == 5
    assert "dagster/row_count" not in told
    assert (told["planasonix/window_start"], told["planasonix/window_end"]) == (ended.window_start, ended.window_end)
    assert told["planasonix/backfill_id"] == "bf_1"
    assert told["planasonix/job_ids"] == ["job_1", "job_2"]


@pytest.mark.parametrize(
    ("tables", "changes", "kind", "rows"),
    [
        ((loaded("public.orders", 0),), {}, dg.AssetMaterialization, 0),
        ((loaded("public.orders", None),), {}, dg.AssetMaterialization, None),
        # Read without the table among those that it was to account for.
        ((), {}, dg.AssetObservation, None),
        ((TableOutcome("public.orders", "no_change"),), {}, dg.AssetMaterialization, 0),
        ((), {"status": "failed"}, dg.AssetObservation, None),
        ((), {"status": "cancelled"}, dg.AssetObservation, None),
        ((), {"warnings": (UNREAD,)}, dg.AssetObservation, None),
        ((TableOutcome("public.orders", "failed", 3),), {"status": "failed"}, dg.AssetObservation, None),
        ((loaded("public.orders", 3),), {"status": "failed"}, dg.AssetMaterialization, 3),
        ((loaded("public.orders", 3),), {"status": "cancelled"}, dg.AssetMaterialization, 3),
    ],
)
def test_what_a_state_of_a_table_gives(tables: tuple, changes: dict, kind: type, rows: int | None) -> None:
    event = events_of(outcome(*tables, **changes), assets("public.orders"))[0]
    assert type(event) is kind
    assert shown(event).get("dagster/row_count") == rows


def test_only_the_selected_tables_are_told_and_the_rest_can_be_named() -> None:
    ended = outcome(loaded("public.orders"), loaded("public.order_items"), loaded("public.unknown_to_dagster"))
    tables = assets("public.orders", "public.order_items")
    events = events_of(ended, tables, {ORDERS})
    assert {event.asset_key for event in events} == {ORDERS}
    assert not_reported(ended, tables, {ORDERS}) == ["public.order_items", "public.unknown_to_dagster"]


def test_tables_of_another_connection_are_none_of_this_run() -> None:
    tables = assets("public.orders") | assets("other.orders2", connection_id="conn_other")
    assert [result.asset.table for result in table_results(outcome(), tables)] == ["public.orders"]


def test_a_name_that_the_results_write_otherwise_counts_before_the_expected_one() -> None:
    # Core adds an expected table that it did not find by its text; the results named it without its schema.
    expected = TableOutcome("public.orders", "failed", reported=False)
    ended = outcome(loaded("orders", 9), expected, status="failed")
    for tables in (ended.tables, ended.tables[::-1]):
        (result,) = table_results(outcome(*tables, status="failed"), assets("public.orders"))
        assert (result.table.state, result.table.rows_loaded) == ("loaded", 9)
        assert result.table.name == "public.orders"


FAILED_ORDERS = TableOutcome("public.orders", "failed", 0)


@pytest.mark.parametrize(
    ("reported", "state", "rows"),
    [
        # The same text counts, whatever else fits: another table of the source may.
        ((FAILED_ORDERS, loaded("public.Orders", 7)), "failed", 0),
        ((loaded("public.orders", 100), loaded("public.Orders", 7)), "loaded", 100),
        ((loaded("public.orders", 100), TableOutcome("archive.public.orders", "failed")), "loaded", 100),
        # Then the same name in other letters, before one with more in front.
        ((loaded("PUBLIC.ORDERS", 5), loaded("archive.public.orders", 7)), "loaded", 5),
        # Several that fit as well: no rows of any of them.
        ((loaded("a.public.orders", 5), loaded("b.public.orders", 7)), "loaded", None),
        ((TableOutcome("a.public.orders", "failed", 5), loaded("b.public.orders", 7)), "unknown", None),
        ((TableOutcome("a.public.orders", "failed"), TableOutcome("b.public.orders", "failed")), "failed", None),
    ],
)
def test_of_several_names_that_fit_a_table_the_nearest_counts(reported: tuple, state: str, rows: int | None) -> None:
    for tables in (reported, reported[::-1]):
        (result,) = table_results(outcome(*tables), assets("public.orders"))
        assert (result.table.name, result.table.state, result.table.rows_loaded) == ("public.orders", state, rows)


def test_a_choice_that_nobody_can_make_is_told_as_one() -> None:
    names = ("public.orders", "audit.items", "public.items")
    keys = [dg.AssetKey([name]) for name in names]
    both = {key: TableAsset(key, CONNECTION, None, name) for key, name in zip(keys, names, strict=True)}
    expected = [TableOutcome(name, "no_change", reported=False) for name in names]
    ended = outcome(loaded("items", 9), loaded("a.public.orders"), TableOutcome("b.public.orders", "failed"), *expected)
    events = events_of(ended, both)
    assert of_type(events, dg.AssetMaterialization) == []
    said = {each.asset_key.path[-1]: str(each.description) for each in of_type(events, dg.AssetObservation)}
    assert "'items', which may be public.items as well" in said["audit.items"]
    assert "'items', which may be audit.items as well" in said["public.items"]
    assert "the results name a.public.orders, b.public.orders, any of which it may be" in said["public.orders"]
    status = [each for each in of_type(events, dg.AssetCheckEvaluation) if each.check_name == "planasonix_status"]
    assert [(each.passed, each.severity) for each in status] == [(False, dg.AssetCheckSeverity.WARN)] * 3
    assert all("not all results" not in str(each.description) for each in status)
    in_a_failed_run = events_of(outcome(*ended.tables, status="failed"), both)
    severities = {each.severity for each in of_type(in_a_failed_run, dg.AssetCheckEvaluation) if not each.passed}
    assert severities == {dg.AssetCheckSeverity.ERROR}


def test_every_asset_of_a_table_gets_its_outcome() -> None:
    (table,) = assets("public.orders").values()
    layers = [table._replace(asset_key=dg.AssetKey([layer, "orders"])) for layer in ("raw", "lake")]
    both = {each.asset_key: each for each in layers}
    ended = outcome(loaded("public.orders", 9), loaded("public.items"))
    assert [(result.asset, result.table.rows_loaded) for result in table_results(ended, both)] == [
        (layers[0], 9),
        (layers[1], 9),
    ]
    assert not_reported(ended, both, {layers[0].asset_key}) == ["public.items"]


def test_a_failed_table_that_only_looks_like_a_selected_one_is_another() -> None:
    ended = outcome(loaded("public.orders"), TableOutcome("archive.public.orders", "failed"), status="failed")
    assert not_loaded(ended, assets("public.orders"), {ORDERS}) == ["archive.public.orders"]
    assert not_reported(
        outcome(loaded("public.orders"), loaded("public.ORDERS")), assets("public.orders"), {ORDERS}
    ) == ["public.ORDERS"]


def test_the_checksum_is_a_data_version_only_by_wish() -> None:
    ended, tables = outcome(loaded("public.orders", 1, "sha256:ab")), assets("public.orders")
    (event, *_) = events_of(ended, tables)
    assert not event.tags
    (event, *_) = events_of(ended, tables, data_version_from_checksum=True)
    assert event.tags[DATA_VERSION_TAG] == "sha256:ab"
    (event, *_) = events_of(outcome(loaded("public.orders")), tables, data_version_from_checksum=True)
    assert not event.tags


def test_an_observation_says_why() -> None:
    ended = outcome(status="failed", error_code="source_unavailable", error_message="The source closed it.")
    (event, *_) = events_of(ended, assets("public.orders"))
    assert event.description == (
        "Planasonix job job_1 did not load this table: source_unavailable: The source closed it."
    )
    (event, *_) = events_of(outcome(warnings=(UNREAD,)), assets("public.orders"))
    assert "could be read" in event.description


def test_a_run_that_was_only_waited_for_is_marked() -> None:
    (event, *_) = events_of(outcome(loaded("public.orders"), owned=False), assets("public.orders"))
    assert shown(event)["planasonix/started_elsewhere"] is True


def test_long_lists_are_bounded() -> None:
    warnings = tuple(warning("w", f"warning {number}") for number in range(200))
    ended = outcome(loaded("public.orders"), kind="backfill", job_ids=tuple(map(str, range(900))), warnings=warnings)
    told = shown(events_of(ended, assets("public.orders"))[0])
    assert len(told["planasonix/job_ids"]) == 50
    assert len(told["planasonix/warnings"]) == 51
    assert told["planasonix/warnings"][-1] == {"message": "… and 150 more"}


def test_more_metadata_of_the_caller_is_added() -> None:
    (event, *_) = events_of(outcome(loaded("public.orders")), assets("public.orders"), metadata={"mine": 1})
    assert shown(event)["mine"] == 1
