"""What the spec of a table says, and what another translator may change."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import DagsterPlanasonixTranslator
from dagster_planasonix.names import key_part, unique_name
from dagster_planasonix.state import ColumnState, TableState
from dagster_planasonix.translator import PlanasonixTableProps
from tests.dagster.states import connection, props

TRANSLATOR = DagsterPlanasonixTranslator()


def test_the_default_spec() -> None:
    spec = TRANSLATOR.get_asset_spec(props("public.orders"))
    assert spec.key == dg.AssetKey(["shop", "public", "orders"])
    assert spec.group_name == "shop"
    assert spec.kinds == {"planasonix", "postgres"}
    assert spec.metadata == {
        "planasonix/connection_id": "conn_shop",
        "planasonix/connection_name": "shop",
        "planasonix/table": "public.orders",
        "planasonix/connection_type": "postgres",
        "dagster/table_name": "public.orders",
        "dagster/storage_kind": "postgres",
    }
    assert spec.description is None


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (props(name=None), ["conn_shop", "public", "orders"]),
        (props(tables=(TableState(None, "events"),)), ["shop", "events"]),
        (props("public.orders.2024"), ["shop", "public", "orders.2024"]),
        (props(name="Shop / EU (new)"), ["Shop_EU_new", "public", "orders"]),
        (props('public.order "lines"'), ["shop", "public", "order_lines"]),
    ],
)
def test_keys(made: PlanasonixTableProps, key: list[str]) -> None:
    spec = TRANSLATOR.get_asset_spec(made)
    assert spec.key == dg.AssetKey(key)
    # The table keeps its own name, whatever Dagster makes of the key.
    assert spec.metadata["planasonix/table"] == made.qualified_name


@pytest.mark.parametrize(
    "text", ["ordres_1", "a-b", "a.b", "a b", "a/b", "ü", "ö", "顧客", "注文", '"', "%", "a\nb", " a"]
)
def test_any_name_becomes_one_that_dagster_takes(text: str) -> None:
    key = dg.AssetKey(["c", key_part(text)])

    @dg.multi_asset(name=unique_name(text), specs=[dg.AssetSpec(key)], pool=f"planasonix_{unique_name(text)}")
    def op_of_any_name():
        yield dg.MaterializeResult(asset_key=key)

    assert dg.AssetKey.from_user_string(key.to_user_string()) == key
    assert dg.materialize([op_of_any_name]).success


def test_names_in_other_alphabets_stay_apart() -> None:
    assert len({key_part(text) for text in ("顧客", "注文", "ä", "ö", "straße", "strasse")}) == 6


@pytest.mark.parametrize("text", ["context", "type", "lambda", "conn-a", "conn_ä", "", "int"])
def test_a_name_that_had_to_change_never_meets_another(text: str) -> None:
    name = unique_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_]+", name)
    assert name != re.sub(r"[^A-Za-z0-9_]", "_", text)


def test_what_the_api_says_of_the_connection_is_seen() -> None:
    spec = TRANSLATOR.get_asset_spec(props(paused=True, status="paused", schedule="0 6 * * *"))
    assert spec.metadata["planasonix/paused"] is True
    assert spec.metadata["planasonix/schedule"] == "0 6 * * *"
    assert spec.metadata["planasonix/connection_status"] == "paused"
    assert spec.description == "The connection shop is paused in Planasonix."


def test_columns_become_dagsters_column_schema() -> None:
    table = TableState("public", "orders", (ColumnState("id", "BIGINT", False), ColumnState("note")))
    schema = TRANSLATOR.get_asset_spec(props(tables=(table,))).metadata["dagster/column_schema"]
    assert [(each.name, each.type, each.constraints.nullable) for each in schema.columns] == [
        ("id", "BIGINT", False),
        ("note", "?", True),
    ]


def test_the_checks_are_those_of_the_table() -> None:
    checks = list(TRANSLATOR.get_check_specs(props()))
    assert {each.name for each in checks} == {"planasonix_status", "planasonix_warnings"}
    assert {each.asset_key for each in checks} == {dg.AssetKey(["shop", "public", "orders"])}


def test_props_say_all_that_is_known_and_cannot_be_changed() -> None:
    made = PlanasonixTableProps(connection("conn_shop", "public.orders", paused=False), TableState("public", "orders"))
    assert (made.connection_id, made.connection_name, made.connection_type) == ("conn_shop", "shop", "postgres")
    assert (made.schema, made.table_name, made.qualified_name) == ("public", "orders", "public.orders")
    assert (made.columns, made.paused, made.schedule) == (None, False, None)
    frozen: Any = made
    with pytest.raises(AttributeError):
        frozen.connection_id = "conn_other"
