"""The columns of loaded tables, by `.fetch_column_metadata()`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix.clients import close_clients
from planasonix.sandbox import RunningSandbox, Sandbox
from tests.dagster.steps import CONNECTION, KEY, days, failure_of, materialize, materialized, shop, workspace_of

ORDERS, ITEMS, REFUNDS = "public.orders", "public.order_items", "public.refunds"
DAILY = dg.DailyPartitionsDefinition("2026-01-01")


@pytest.fixture(scope="module")
def served_here() -> Iterator[RunningSandbox]:
    with Sandbox(api_keys=(KEY,), speed=500).serve() as running:
        yield running
    close_clients()


@pytest.fixture
def served(served_here: RunningSandbox) -> RunningSandbox:
    served_here.reset()
    return served_here


def columns_of(told: dict[str, Any]) -> list[tuple[str, str, bool]]:
    schema = told["dagster/column_schema"]
    return [(column.name, column.type, column.constraints.nullable) for column in schema.columns]


def test_each_loaded_table_gets_its_columns_with_one_call(served: RunningSandbox) -> None:
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS, columns=True))
    assert result.success
    told = materialized(result)
    assert columns_of(told["orders"]) == [
        ("order_id", "BIGINT", False),
        ("customer_id", "UUID", True),
        ("amount_cents", "INTEGER", False),
        ("ordered_at", "TIMESTAMPTZ", False),
    ]
    assert "dagster/row_count" in told["orders"]
    assert served.calls("connections.columns") == 2
    asked = [dict(entry.query) for entry in served.journal if entry.operation == "connections.columns"]
    assert sorted(query["table"] for query in asked) == ["order_items", "orders"]
    assert {query["schema"] for query in asked} == {"public"}


@pytest.mark.parametrize("whole", [True, False])
def test_the_partitions_of_a_table_share_its_columns(served: RunningSandbox, whole: bool) -> None:
    if not whole:
        served.script(CONNECTION, sequence=[{}, {}, {"outcome": "failed", "loaded_tables": []}])
    result = materialize(
        shop(workspace_of(served), ORDERS, partitions_def=DAILY, columns=True), tags=days("2026-01-02", "2026-01-04")
    )
    assert result.success is whole
    told = materialized(result)
    assert len(told) == (3 if whole else 2)
    assert all(len(columns_of(each)) == 4 and "dagster/partition_row_count" in each for each in told.values())
    assert served.calls("connections.columns") == 1


def test_columns_that_cannot_be_read_fail_nothing(served: RunningSandbox, capfd: pytest.CaptureFixture[str]) -> None:
    served.fault("connections.columns", "error", status=403, times=None)
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS, columns=True))
    assert result.success
    assert all("dagster/column_schema" not in each for each in materialized(result).values())
    assert "the columns of public.orders could not be read" in capfd.readouterr().err


def test_a_failed_table_is_told_as_without_columns(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[ORDERS])
    result = materialize(shop(workspace_of(served), ORDERS, ITEMS, columns=True))
    assert materialized(result).keys() == {"orders"}
    assert columns_of(materialized(result)["orders"])
    assert failure_of(result).user_failure_data.metadata["planasonix/failed_tables"].value == [ITEMS]


def test_a_job_that_loads_nothing_asks_for_no_columns(served: RunningSandbox) -> None:
    served.script(CONNECTION, "failed", loaded_tables=[])
    assert not materialize(shop(workspace_of(served), ORDERS, columns=True)).success
    assert served.calls("connections.columns") == 0
