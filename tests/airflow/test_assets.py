"""Addresses of tables: one spelling each, the same everywhere, and no other scheme is touched."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetAlias
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

import airflow_provider_planasonix.assets as module
from airflow_provider_planasonix.assets import planasonix_table, table_of, table_uri
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from planasonix.errors import ConfigurationError

ORDERS = "conn_shop_orders", "public.orders"
NAMES = [
    ORDERS,
    ("conn_x", "orders"),
    ("conn_x", "lake.Public.Orders-2026_v~1"),
    ("conn@eu:1", "sales.Größe / netto"),
    ("conn/with/slash", "a.b?c#d%20e"),
    ("[::1]", "a.b"),
]


@pytest.mark.parametrize("names", NAMES)
def test_an_address_leads_back_to_its_table_and_airflow_leaves_it_as_it_is(names: tuple[str, str]) -> None:
    asset = planasonix_table(*names)
    assert asset.uri == asset.name == asset.normalized_uri == table_uri(*names)
    assert table_of(asset.uri) == names
    assert Asset(asset.uri) == asset


@pytest.mark.parametrize(
    "uri",
    [
        "planasonix://conn_shop_orders/public/orders",
        "planasonix://conn_shop_orders/public.orders",
        "planasonix://conn_shop_orders/public/orders/",
        "PLANASONIX://conn_shop_orders/%70ublic/orders",
        "planasonix://conn_shop_orders/public%2Eorders",
    ],
)
def test_each_table_has_one_spelling(uri: str) -> None:
    assert Asset(uri=uri).uri == "planasonix://conn_shop_orders/public/orders"


@pytest.mark.parametrize(
    "uri",
    [
        "planasonix://conn_shop_orders",
        "planasonix://conn_shop_orders/",
        "planasonix:///public/orders",
        "planasonix://conn_shop_orders//orders",
        "planasonix://user@conn_shop_orders/public/orders",
        "planasonix://conn_shop_orders:80/public/orders",
        "planasonix://conn_shop_orders/public/orders?x=1",
        "planasonix:public/orders",
    ],
)
def test_what_names_no_table_is_an_error_of_the_dag_file(uri: str) -> None:
    with pytest.raises(ValueError, match=r"needed|no user"):
        Asset(uri=uri)
    assert table_of(uri) is None


@pytest.mark.parametrize("uri", ["s3://Bucket/a//B?x=1", "x-planasonix://a//b?", "postgres://h:5432/db/public/t", "t"])
def test_other_addresses_are_as_without_us(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Asset(uri=uri).uri
    monkeypatch.delitem(ProvidersManagerTaskRuntime().asset_uri_handlers, "planasonix")
    assert Asset(uri=uri).uri == ours
    assert table_of(uri) is None


@pytest.mark.parametrize(
    ("names", "field"),
    [
        (("", "public.orders"), "connection_id"),
        (("{{ params.conn }}", "public.orders"), "connection_id"),
        (("conn", ""), "table"),
        (("conn", "public."), "table"),
        (("conn", "{% if 1 %}a{% endif %}"), "table"),
        (("conn", None), "table"),
    ],
)
def test_wrong_names_are_told(names: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        planasonix_table(*names)
    assert caught.value.field == field


def test_airflow_knows_the_scheme() -> None:
    manager = ProvidersManagerTaskRuntime()
    assert manager.asset_uri_handlers["planasonix"] is module.sanitize_uri
    made = manager.asset_factories["planasonix"](connection_id="conn_x", table="a.b", extra={"owner": "me"})
    assert (made.uri, made.extra) == ("planasonix://conn_x/a/b", {"owner": "me"})
    assert manager.asset_to_openlineage_converters["planasonix"] is module.to_openlineage


ASSET, OTHER = planasonix_table(*ORDERS), planasonix_table("conn_other", "public.orders")


@pytest.mark.parametrize(
    "parameters",
    [
        {"outlets": [ASSET], "wait_for_completion": False},
        {"outlets": [AssetAlias("loaded")], "wait_for_completion": False},
        {"outlets": [ASSET, OTHER]},
        {"outlets": [Asset.ref(uri=OTHER.uri)]},
    ],
)
def test_outlets_that_could_not_be_true_are_an_error_of_the_dag_file(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PlanasonixSyncOperator(task_id="sync", connection_id=ORDERS[0], **parameters)
    assert caught.value.field == "outlets"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"outlets": [ASSET], "tables": ["public.customers"]}, "outlets"),
        ({"partition_key_format": "%Y-%m-%d"}, "partition_key_format"),
        ({"partition_key_format": "%Y-%m-%d", "outlets": [AssetAlias("loaded")]}, "partition_key_format"),
        ({"partition_key_format": "daily", "outlets": [ASSET]}, "partition_key_format"),
        ({"partition_window": "a day"}, "partition_window"),
        ({"partition_timezone": "Mars/Olympus"}, "partition_timezone"),
    ],
)
def test_the_same_for_backfills_and_their_partitions(parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PlanasonixBackfillOperator(task_id="load", connection_id=ORDERS[0], **parameters)
    assert caught.value.field == field


def test_what_is_not_known_yet_is_not_judged() -> None:
    with DAG("d", schedule=None):
        PlanasonixSyncOperator(task_id="a", connection_id="{{ params.conn }}", outlets=[ASSET, OTHER])
        PlanasonixSyncOperator(task_id="b", connection_id=ORDERS[0], outlets=[Asset("s3://b/k"), "text"])
        PlanasonixBackfillOperator(task_id="c", connection_id=ORDERS[0], tables="{{ params.t }}", outlets=[ASSET])
        PlanasonixSyncOperator.partial(task_id="d", outlets=[ASSET, OTHER]).expand(
            connection_id=["conn_shop_orders", "conn_other"]
        )


def test_the_example() -> None:
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0
