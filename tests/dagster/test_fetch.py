"""What is asked of the API: one list, then only what is selected; never a view, never a secret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_planasonix import ConnectionSelection, PlanasonixWorkspace
from dagster_planasonix.fetch import connection_of, fetch_into, fetch_state
from dagster_planasonix.state import ConnectionState
from planasonix.errors import ConfigurationError, InvalidRequestError, PermissionDeniedError
from planasonix.models import Connection
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_5c1e"


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with Sandbox(api_keys=(KEY,)).serve() as running:
        yield running


@pytest.fixture
def workspace(served: Any) -> PlanasonixWorkspace:
    served.reset()
    return PlanasonixWorkspace(api_key=KEY, base_url=served.url)


def calls(served: Any) -> Counter[str]:
    return Counter(entry.operation for entry in served.journal)


def test_only_the_selected_are_asked_for_tables(served: Any, workspace: PlanasonixWorkspace) -> None:
    state = fetch_state(workspace, ["conn_shop_orders", "conn_billing_stripe"])
    assert [each.id for each in state.connections] == ["conn_shop_orders", "conn_billing_stripe"]
    assert calls(served) == {"connections.list": 1, "connections.tables": 2}
    orders = state.connections[0].tables or ()
    assert {each.qualified_name for each in orders} >= {"public.orders", "public.refunds"}
    # Views are no assets: no sync loads them.
    assert not any("open_orders" in each.name for each in orders)


def test_every_connection_by_default(served: Any, workspace: PlanasonixWorkspace) -> None:
    state = fetch_state(workspace)
    assert len(state.connections) == calls(served)["connections.tables"] == 21


def test_columns_are_asked_for_only_if_wanted(served: Any, workspace: PlanasonixWorkspace) -> None:
    state = fetch_state(workspace, ["conn_shop_inventory"], include_columns=True)
    assert calls(served)["connections.columns"] == 3
    columns = (state.connections[0].tables or ())[0].columns or ()
    assert (columns[0].name, columns[0].type, columns[0].nullable) == ("product_id", "BIGINT", False)


def test_what_is_known_is_not_asked_again(served: Any, workspace: PlanasonixWorkspace) -> None:
    first = fetch_into(None, workspace, ["conn_shop_orders"])
    second = fetch_into(first, workspace, ["conn_shop_orders", "conn_hr_people"])
    assert fetch_into(second, workspace, ["conn_hr_people"]) is second
    assert calls(served) == {"connections.list": 1, "connections.tables": 2}
    assert sum(each.tables is not None for each in second.connections) == 2


@pytest.mark.parametrize(
    ("selector", "ids"),
    [
        ("conn_hr_people", ["conn_hr_people"]),
        (lambda connection: connection.name.startswith("ads_"), ["conn_ads_google", "conn_ads_meta"]),
        (ConnectionSelection(by_name=("erp_sap",), by_type=("kafka",)), ["conn_iot_telemetry", "conn_erp_sap"]),
    ],
)
def test_ways_to_select(workspace: PlanasonixWorkspace, selector: Any, ids: list[str]) -> None:
    assert [each.id for each in fetch_state(workspace, selector).connections] == ids


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (["conn_shop_orders", "conn_typo"], "No connection has id conn_typo"),
        (ConnectionSelection(by_name=("Shop",)), "No connection has name Shop"),
        (lambda connection: False, "The selector takes none of 21 connections"),
    ],
)
def test_a_selector_that_fits_nothing_lists_what_there_is(
    served: Any, workspace: PlanasonixWorkspace, selector: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        fetch_state(workspace, selector)
    assert "shop_orders (conn_shop_orders)" in str(caught.value)
    assert "connections.tables" not in calls(served)


@pytest.mark.parametrize("selector", [[], (), set(), ConnectionSelection(), ConnectionSelection(by_id=[])])  # type: ignore[arg-type]
def test_a_selector_that_names_none_is_no_wish_for_all(
    served: Any, workspace: PlanasonixWorkspace, selector: Any
) -> None:
    with pytest.raises(ConfigurationError, match="connection_selector names none; leave it out for all"):
        fetch_state(workspace, selector)
    assert "connections.tables" not in calls(served)


def test_the_word_all_is_every_connection(workspace: PlanasonixWorkspace) -> None:
    assert fetch_state(workspace, "all").connections == fetch_state(workspace).connections


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        (["conn_shop_ordrs"], "Did you mean conn_shop_orders? There are "),
        (ConnectionSelection(by_name=("shop_order",)), "Did you mean shop_orders? There are "),
        (["shop_orders"], "Did you mean conn_shop_orders? There are "),
    ],
)
def test_the_nearest_comes_first(workspace: PlanasonixWorkspace, selector: Any, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fetch_state(workspace, selector)
    assert (caught.value.hint or "").startswith(hint)


def test_a_type_that_is_not_there_lists_the_types(workspace: PlanasonixWorkspace) -> None:
    with pytest.raises(ConfigurationError, match="No connection has type postgress") as caught:
        fetch_state(workspace, ConnectionSelection(by_type=("postgress",)))
    assert (caught.value.hint or "").startswith("Did you mean postgres? The types are ")
    assert "kafka, " in str(caught.value)
    assert "conn_" not in str(caught.value)


class WithoutTables:
    """The workspace of a server that lists no tables of one connection."""

    def __init__(self, inner: PlanasonixWorkspace, error: Exception) -> None:
        self.inner, self.error = inner, error

    def get_client(self) -> Any:
        client = self.inner.get_client()
        listed = client.connections.tables

        def tables(connection_id: str, **more: Any) -> Any:
            if connection_id == "conn_marketing_lake":
                raise self.error
            return listed(connection_id, **more)

        client.connections.tables = tables  # type: ignore[method-assign]
        return client


def refusal(kind: type[Any], status: int) -> Exception:
    return kind("no tables here", status_code=status, operation="connections.tables")


def test_a_bucket_without_tables_is_left_out_where_nobody_chose_it(
    workspace: PlanasonixWorkspace, caplog: pytest.LogCaptureFixture
) -> None:
    bucket: Any = WithoutTables(workspace, refusal(InvalidRequestError, 400))
    state = fetch_state(bucket)
    assert {each.id for each in state.connections if not each.tables} == {"conn_marketing_lake"}
    assert "lists no tables of marketing_s3_lake (conn_marketing_lake)" in caplog.text
    assert fetch_state(bucket, "all").connections == state.connections
    with pytest.raises(InvalidRequestError):
        fetch_state(bucket, ["conn_marketing_lake"])


def test_a_refusal_of_another_kind_is_never_an_empty_connection(workspace: PlanasonixWorkspace) -> None:
    refused: Any = WithoutTables(workspace, refusal(PermissionDeniedError, 403))
    with pytest.raises(PermissionDeniedError):
        fetch_state(refused)


def test_nothing_secret_is_in_the_state(workspace: PlanasonixWorkspace) -> None:
    text = fetch_state(workspace).to_json()
    assert KEY not in text
    # Nothing of a connection's settings either.
    assert "db.shop.internal" not in text
    assert "cred_" not in text


def test_an_environment_variable_may_hold_the_settings(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("MY_URL", served.url)
    workspace = PlanasonixWorkspace(api_key=dg.EnvVar("MY_KEY"), base_url=dg.EnvVar("MY_URL"))
    assert fetch_state(workspace, "conn_hr_people").base_url == served.url


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, (None, None, None, None)),
        ({"status": "paused"}, ("paused", True, None, None)),
        ({"status": "active"}, ("active", False, None, None)),
        ({"status": "active", "paused": True}, ("active", True, None, None)),
        ({"schedule": "0 6 * * *"}, (None, None, "0 6 * * *", None)),
        ({"schedule": {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}}, (None, None, "0 6 * * *", "Europe/Berlin")),
        ({"schedule": 7, "paused": "maybe", "status": {}}, (None, None, None, None)),
    ],
)
def test_what_some_servers_say_besides_is_read_and_not_required(row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    read = connection_of(Connection.read({"id": "conn_x", "name": "x", "type": "s3", **row}))
    assert isinstance(read, ConnectionState)
    assert (read.status, read.paused, read.schedule, read.schedule_timezone) == expected
