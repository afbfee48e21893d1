"""An asset knows its table by its spec; a table of a job's results finds its asset by one rule."""

import dagster as dg
import pytest

from dagster_planasonix.targets import (
    CONNECTION_ID,
    TABLE,
    TableAsset,
    match_table,
    table_matcher,
    tables_of,
    target_metadata,
)
from planasonix.errors import ConfigurationError


def asset(table: str) -> TableAsset:
    return TableAsset(dg.AssetKey(["any", table]), "conn_shop", "shop", table)


@pytest.mark.parametrize(
    ("name", "tables", "expected"),
    [
        ("public.orders", ["public.orders", "public.items"], "public.orders"),
        # Letter case and quotes: warehouses fold names.
        ("PUBLIC.ORDERS", ["public.orders"], "public.orders"),
        ('"public"."Orders"', ["public.orders"], "public.orders"),
        ("[dbo].[Orders]", ["dbo.orders"], "dbo.orders"),
        ("public.Orders", ["public.orders", "public.Orders"], "public.Orders"),
        ("public.ORDERS", ["public.orders", "public.Orders"], None),
        # More or less in front.
        ("shop.public.orders", ["public.orders"], "public.orders"),
        ("orders", ["public.orders", "public.items"], "public.orders"),
        ("orders", ["public.orders", "audit.orders"], None),
        ("orders", ["orders", "audit.orders"], "orders"),
        ("x.orders", ["orders", "audit.orders"], "orders"),
        # Another schema is another table, and half a name is none.
        ("audit.orders", ["public.orders"], None),
        ("ders", ["public.orders"], None),
        ("public", ["public.orders"], None),
        ("", ["public.orders"], None),
        ("public.", ["public.orders"], None),
        # A dot in a table's own name.
        ("public.orders.2024", ["public.orders.2024", "public.orders"], "public.orders.2024"),
        ("public.orders", [], None),
    ],
)
def test_which_asset_a_table_of_the_results_is(name: str, tables: list[str], expected: str | None) -> None:
    assets = [asset(table) for table in tables]
    fits = table_matcher(tables)(name).tables
    assert (fits[0] if len(fits) == 1 else None) == expected
    assert [each.table for each in match_table(name, assets)] == [table for table in tables if table in fits]
    assert match_table(name, {each.asset_key: each for each in assets}) == match_table(name, assets)


def test_a_matcher_serves_many_names() -> None:
    match = table_matcher(f"public.t{number}" for number in range(300))
    assert [match(f"DB.PUBLIC.T{number}").tables for number in range(300)] == [(f"public.t{n}",) for n in range(300)]


def test_all_assets_of_a_table_are_found() -> None:
    raw, lake = (asset("public.orders")._replace(asset_key=dg.AssetKey([layer, "orders"])) for layer in ("raw", "lake"))
    for name in ("public.orders", "ORDERS"):
        assert match_table(name, [raw, asset("public.items"), lake]) == [raw, lake]


def spec(key: str, metadata: dict[str, str]) -> dg.AssetSpec:
    return dg.AssetSpec(key, metadata=metadata)


def test_assets_written_by_hand_are_found_and_others_left_out() -> None:
    specs = [spec("a", target_metadata("conn_shop", None, "public.a")), spec("b", {"some": "thing"})]
    assert tables_of(specs) == {dg.AssetKey("a"): TableAsset(dg.AssetKey("a"), "conn_shop", None, "public.a")}
    assert tables_of(specs[1]) == {}


@pytest.mark.parametrize("given", [{CONNECTION_ID: "conn_shop"}, {TABLE: "public.a"}, {CONNECTION_ID: "", TABLE: "a"}])
def test_half_of_a_target_is_an_error_that_names_the_other_half(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="The asset a has no planasonix/"):
        tables_of(spec("a", given))


def test_a_step_reads_its_tables_from_its_context() -> None:
    seen = []

    @dg.multi_asset(
        specs=[spec(each, target_metadata("conn_shop", "shop", f"public.{each}")) for each in "ab"], can_subset=True
    )
    def both(context: dg.AssetExecutionContext):
        seen.append(tables_of(context))
        for key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key)

    assert dg.materialize([both], selection=["b"]).success
    assert tables_of(both) == tables_of([both])
    assert {key.path[-1]: target.table for key, target in tables_of(both).items()} == {"a": "public.a", "b": "public.b"}
    assert dg.AssetKey("b") in seen[0]


def test_an_op_without_assets_has_no_tables() -> None:
    seen = []

    @dg.op
    def plain(context: dg.OpExecutionContext) -> None:
        seen.append(tables_of(context))

    @dg.job
    def a_job() -> None:
        plain()

    assert a_job.execute_in_process().success
    assert seen == [{}]
