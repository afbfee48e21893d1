"""The checks of a table, from what runs told."""

from __future__ import annotations

import doctest

import dagster as dg
import pytest

import dagster_planasonix.checks as checks_module
from dagster_planasonix.checks import check_specs, evaluations_of
from dagster_planasonix.events import events_of
from dagster_planasonix.results import TableResult, table_results
from planasonix.errors import ConfigurationError
from planasonix.runs import TableOutcome
from tests.dagster.outcomes import assets, loaded, outcome, shown, warning

TABLES = assets("public.orders", "public.order_items")


def evaluated(*tables: TableOutcome, specs: list | None = None, **changes) -> dict[str, dg.AssetCheckEvaluation]:
    (result,) = table_results(outcome(*tables, **changes), assets("public.orders"))
    return {each.check_name: each for each in evaluations_of([result], specs)}


def in_partitions(states: dict[str, TableOutcome]) -> list[TableResult]:
    return [
        table_results(outcome(table, kind="backfill"), assets("public.orders"), partition=key)[0]
        for key, table in states.items()
    ]


def test_a_good_table_passes() -> None:
    found = evaluated(loaded("public.orders"))
    assert {name: each.passed for name, each in found.items()} == {
        "planasonix_status": True,
        "planasonix_warnings": True,
    }


def test_a_failed_table_fails_with_the_link() -> None:
    status = evaluated(status="failed", error_code="source_unavailable")["planasonix_status"]
    assert not status.passed
    assert status.severity is dg.AssetCheckSeverity.ERROR
    assert status.description == "The table was not loaded."
    assert shown(status)["planasonix/job_url"] == "https://app.example/jobs/job_1"
    assert shown(status)["planasonix/table_state"] == "failed"


def test_a_run_that_ended_badly_is_told_by_its_tables_where_none_of_them_failed() -> None:
    """Nobody else tells it where no step waits for the run."""
    found = evaluated(loaded("public.orders", 12), status="failed", api_status="evaporated")["planasonix_status"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert "'evaporated'" in (found.description or "")


def test_a_loaded_table_of_a_run_in_which_another_failed_passes() -> None:
    tables = (loaded("public.orders", 12), TableOutcome("public.customers", "failed"))
    assert evaluated(*tables, status="failed", api_status="failed")["planasonix_status"].passed


def test_an_unknown_table_warns() -> None:
    unread = warning("results_not_read", "no results of 1 of 1 jobs")
    status = evaluated(warnings=(unread,))["planasonix_status"]
    assert not status.passed
    assert status.severity is dg.AssetCheckSeverity.WARN


def test_a_warning_that_names_a_table_is_about_that_table() -> None:
    ended = outcome(
        loaded("public.orders"),
        loaded("public.order_items"),
        warnings=(
            warning("rows_skipped", "12 rows of public.orders have no key"),
            warning("column_type_widened", "Column discount_pct coerced"),
        ),
    )
    found = {
        each.asset_key.path[-1]: shown(each)["planasonix/warnings"]
        for each in events_of(ended, TABLES)
        if isinstance(each, dg.AssetCheckEvaluation) and each.check_name == "planasonix_warnings"
    }
    assert [each["code"] for each in found["orders"]] == ["rows_skipped", "column_type_widened"]
    assert [each["code"] for each in found["order_items"]] == ["column_type_widened"]


@pytest.mark.parametrize(
    ("message", "about"),
    [
        ("public.orders: 3 rows skipped", True),
        ("skipped rows of public.orders.", True),
        ("public.order_items: 3 rows skipped", False),
        ("public.orders_old is gone", True),  # it names no table that we know, so it may be about this one
        ("shop.public.orders is large, public.order_items is not", False),
    ],
)
def test_a_name_is_found_as_a_whole(message: str, about: bool) -> None:
    tables = (loaded("public.orders"), loaded("public.order_items"))
    warned = evaluated(*tables, warnings=(warning(None, message),))["planasonix_warnings"]
    assert warned.passed is not about
    assert warned.severity is dg.AssetCheckSeverity.WARN


@pytest.mark.parametrize(
    ("rows", "bounds", "passed"),
    [
        (7, {"min_rows": 7}, True),
        (7, {"max_rows": 7}, True),
        (7, {"min_rows": 1, "max_rows": 6}, False),
        (0, {"min_rows": 1}, False),
        (0, {"min_rows": 0}, True),
        (None, {"max_rows": 10}, False),
    ],
)
def test_rows_within_bounds(rows: int | None, bounds: dict[str, int], passed: bool) -> None:
    specs = check_specs("orders", **bounds)
    found = evaluated(loaded("public.orders", rows), specs=specs)["planasonix_rows"]
    assert found.passed is passed
    # What nobody counted is no error of the table.
    unknown = rows is None
    assert (found.severity is dg.AssetCheckSeverity.WARN) is (passed or unknown)


def test_no_row_and_a_table_without_changes_are_the_same_to_bounds() -> None:
    specs = check_specs("orders", min_rows=1)
    for same in (loaded("public.orders", 0), TableOutcome("public.orders", "no_change")):
        found = evaluated(same, specs=specs)["planasonix_rows"]
        assert not found.passed
        assert found.description == "Loaded 0 rows; expected at least 1."


def test_a_table_that_was_not_loaded_has_no_rows_to_judge() -> None:
    found = evaluated(specs=check_specs("orders", min_rows=1), status="failed")["planasonix_rows"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN


def test_partitions_are_judged_together_and_the_bad_ones_named() -> None:
    results = in_partitions(
        {
            "2026-01-01": loaded("public.orders", 5),
            "2026-01-02": TableOutcome("public.orders", "failed"),
            "2026-01-03": loaded("public.orders", 50),
        }
    )
    specs = check_specs("orders", max_rows=10)
    found = {each.check_name: each for each in evaluations_of(results, specs)}
    assert found["planasonix_status"].description == "1 of 3 partitions were not loaded."
    assert shown(found["planasonix_status"])["planasonix/failed_partitions"] == ["2026-01-02"]
    assert found["planasonix_rows"].description == "Loaded 50 rows into 2026-01-03; expected at most 10."
    assert found["planasonix_warnings"].passed


def test_only_declared_checks_of_this_asset_are_evaluated() -> None:
    own = dg.AssetCheckSpec("freshness", asset="orders")
    others = check_specs("order_items")
    assert evaluated(loaded("public.orders"), specs=[own, *others]) == {}


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        ({"min_rows": -1}, "min_rows"),
        ({"max_rows": 1.5}, "max_rows"),
        ({"max_rows": True}, "max_rows"),
        ({"min_rows": 5, "max_rows": 4}, "min_rows"),
    ],
)
def test_bounds_that_nothing_meets_are_refused(bounds: dict, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_specs("orders", **bounds)
    assert caught.value.field == field


def test_only_errors_can_block() -> None:
    blocking = {spec.name: spec.blocking for spec in check_specs("orders", min_rows=1, blocking=True)}
    assert blocking == {"planasonix_status": True, "planasonix_warnings": False, "planasonix_rows": True}


def test_the_examples() -> None:
    result = doctest.testmod(checks_module)
    assert result.attempted > 0
    assert result.failed == 0
