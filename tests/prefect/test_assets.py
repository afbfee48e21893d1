"""The tables of a run as assets."""

from __future__ import annotations

import doctest
from uuid import uuid4

import pytest
from prefect.assets import Asset
from prefect.context import AssetContext

import prefect_planasonix.asset_keys as module
from planasonix.errors import ConfigurationError
from planasonix.runs import TableOutcome
from prefect_planasonix.assets import (
    DEFAULT_KEY_TEMPLATE,
    add_to_own_assets,
    asset_events,
    asset_key,
    check_template,
    table_asset,
)
from prefect_planasonix.events import EventToTell
from tests.prefect.telling_parts import CONNECTION, LINK, ORDERS, QUIET, REFUNDS, UNREAD, outcome, partial, staged

ORDERS_KEY = f"planasonix://{CONNECTION}/public/orders"
RUN = uuid4()


def _by_key(events: list[EventToTell]) -> dict[str, EventToTell]:
    return {each.resource["prefect.resource.id"]: each for each in events}


def test_the_examples_are_true() -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


@pytest.mark.parametrize(
    "table",
    [
        "public.orders",
        "orders",
        "db.public.orders",
        "Order Lines.x",
        'public."Orders"',
        "données.ü",
        "注文.行",
        "a/b.c",
    ],
)
def test_every_key_is_one_that_prefect_takes(table: str) -> None:
    key = asset_key(CONNECTION, table)
    assert key is not None
    assert Asset(key=key).key == key
    assert table_asset(CONNECTION, table).key == key


def test_two_tables_are_never_one_asset() -> None:
    names = ["public.a b", "public.a_b", "public.a/b", "public.a?b", "public/a.b", "public.a.b", "public.a%b"]
    assert len({asset_key(CONNECTION, name) for name in names}) == len(names)


def test_a_name_that_can_be_no_key_has_none() -> None:
    assert asset_key(CONNECTION, "public.") is None
    assert asset_key(" ", "public.orders") is None
    assert asset_key(CONNECTION, "x" * 600) is None
    with pytest.raises(ConfigurationError) as caught:
        table_asset(CONNECTION, "")
    assert caught.value.field == "table"


def test_a_template_decides_how_assets_are_named() -> None:
    template = "snowflake://acme/{connection_id}/{schema}/{table}"
    assert asset_key(CONNECTION, "db.public.orders", template) == f"snowflake://acme/{CONNECTION}/db.public/orders"
    assert asset_key(CONNECTION, "orders", template) is None
    check_template("x", template)
    check_template("x", DEFAULT_KEY_TEMPLATE)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{connection_id}/{table}",
        "S3://x/{table}",
        "s3://x/{connection_id}",
        "s3://x/{tabel}",
        "s3://x y/{path}",
        "s3://x/{}/{path}",
        "s3://x#/{path}",
    ],
)
def test_a_template_that_gives_no_keys_is_refused_by_name(template: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_template("asset_key_template", template)
    assert caught.value.field == "asset_key_template"
    with pytest.raises(ConfigurationError):
        table_asset(CONNECTION, "public.orders", template=template)


def test_a_loaded_table_is_materialized_with_its_rows_and_checksum() -> None:
    [event] = asset_events(outcome(ORDERS))
    assert event.event == "prefect.asset.materialization.succeeded"
    assert event.resource == {"prefect.resource.id": ORDERS_KEY}
    assert event.related == [{"prefect.resource.id": "planasonix", "prefect.resource.role": "asset-materialized-by"}]
    assert event.payload == {
        "connection_id": CONNECTION,
        "table": "public.orders",
        "state": "loaded",
        "rows_loaded": 12,
        "checksum": "sha256:12",
        "kind": "backfill",
        "id": "backfill_1",
        "generation": 0,
        "finished_at": "2026-01-05T10:00:04Z",
        "link": LINK,
    }


def test_each_state_has_its_event() -> None:
    events = _by_key(asset_events(outcome(ORDERS, QUIET, REFUNDS, UNREAD, status="failed", error_message="why")))
    names = {key.rpartition("/")[2]: event.event.rpartition(".")[2] for key, event in events.items()}
    assert names == {"orders": "succeeded", "quiet": "succeeded", "refunds": "failed"}
    assert events[f"planasonix://{CONNECTION}/public/quiet"].payload["rows_loaded"] == 0
    failed = events[f"planasonix://{CONNECTION}/public/refunds"].payload
    assert failed["error_message"] == "why"
    assert "rows_loaded" not in failed


def test_the_source_is_upstream_where_it_is_known() -> None:
    source = "postgres://shop/{schema}/{table}"
    referenced, loaded = asset_events(outcome(ORDERS), source_template=source)
    assert (referenced.event, referenced.resource["prefect.resource.id"]) == (
        "prefect.asset.referenced",
        "postgres://shop/public/orders",
    )
    assert {"prefect.resource.id": "postgres://shop/public/orders", "prefect.resource.role": "asset"} in loaded.related
    unqualified = TableOutcome("orders", "loaded", 1)
    assert [each.event for each in asset_events(outcome(unqualified), source_template=source)] == [
        "prefect.asset.materialization.succeeded"
    ]


def test_the_same_load_is_the_same_event_and_another_is_not() -> None:
    def ids(**changes: object) -> set[object]:
        return {each.id for each in asset_events(outcome(ORDERS, **changes), flow_run_id=RUN)}

    assert ids() == ids()
    assert ids() != ids(id="backfill_2")
    assert ids() != {each.id for each in asset_events(outcome(ORDERS))}
    first = asset_events(staged("done", "failed"), flow_run_id=RUN)[0].id
    assert first == asset_events(staged("done", "failed"), flow_run_id=RUN)[0].id
    assert first != asset_events(staged("done", "done"), flow_run_id=RUN)[0].id


def test_stages_and_pipelines() -> None:
    [event] = asset_events(staged("done", "done"))
    assert event.payload["kind"] == "staged_backfill"
    assert event.payload["stages_total"] == 2
    assert asset_events(outcome(kind="run", id="run_1", connection_id=None, pipeline_id="pl_1")) == []


def test_what_the_task_materializes_itself_gets_the_rows_and_is_not_told_twice() -> None:
    assert add_to_own_assets(partial()) == {}
    with AssetContext(downstream_assets={Asset(key=ORDERS_KEY), Asset(key="s3://other/x")}) as context:
        told = add_to_own_assets(partial())
    assert list(told) == [ORDERS_KEY]
    assert context.materialization_metadata[ORDERS_KEY]["rows_loaded"] == 12
    keys = set(_by_key(asset_events(partial(), told_by_prefect=told)))
    assert keys == {f"planasonix://{CONNECTION}/public/refunds"}


def test_no_event_of_an_asset_holds_a_key() -> None:
    key = "plnx_live_" + "k1" * 12
    events = asset_events(outcome(REFUNDS, status="failed", error_message=f"no {key}", link=f"https://u:{key}@x"))
    assert events
    assert key not in repr(events)
