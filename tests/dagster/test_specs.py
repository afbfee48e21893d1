"""Specs from a state: views are none, two tables never share a key, and no translator can lose a table."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
import pytest

from dagster_planasonix import DagsterPlanasonixTranslator, PlanasonixTableProps
from dagster_planasonix.freshness import policy_of
from dagster_planasonix.specs import connection_specs
from dagster_planasonix.state import WorkspaceState
from dagster_planasonix.targets import tables_of
from planasonix.errors import ConfigurationError
from tests.dagster.states import connection, state

TWO = state(connection("conn_a", "public.orders", "public.items"), connection("conn_b", "public.orders"))


class Flat(DagsterPlanasonixTranslator):
    """One's own spec, made from nothing."""

    def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
        return dg.AssetSpec([props.connection_id, props.table_name], metadata={"mine": 1})


class ByTable(DagsterPlanasonixTranslator):
    def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
        return super().get_asset_spec(props).replace_attributes(key=[props.table_name])

    def get_check_specs(self, props: PlanasonixTableProps) -> Iterable[dg.AssetCheckSpec]:
        return [*super().get_check_specs(props), dg.AssetCheckSpec("mine", asset="anything")]


def specs_of(what: WorkspaceState, translator: DagsterPlanasonixTranslator | None = None) -> list[dg.AssetSpec]:
    return [spec for each in connection_specs(what, translator) for spec in each.specs]


def test_one_spec_a_table_connection_by_connection() -> None:
    made = connection_specs(TWO)
    assert [(each.connection.id, len(each.specs), len(each.check_specs)) for each in made] == [
        ("conn_a", 2, 4),
        ("conn_b", 1, 2),
    ]


def test_a_connection_without_tables_has_no_op() -> None:
    assert [each.connection.id for each in connection_specs(state(connection("conn_a"), *TWO.connections[1:]))] == [
        "conn_b"
    ]


def test_a_class_is_no_translator() -> None:
    with pytest.raises(ConfigurationError, match="translator is the class Flat") as caught:
        specs_of(TWO, Flat)  # type: ignore[arg-type]
    assert caught.value.hint == "Pass Flat()."


def test_a_translator_cannot_lose_the_table() -> None:
    specs = specs_of(TWO, Flat())
    assert specs[0].metadata["mine"] == 1
    assert {(each.connection_id, each.table) for each in tables_of(specs).values()} == {
        ("conn_a", "public.orders"),
        ("conn_a", "public.items"),
        ("conn_b", "public.orders"),
    }


def test_checks_follow_the_key_that_the_spec_got() -> None:
    made = connection_specs(state(connection("conn_a", "public.orders")), ByTable())[0]
    assert {(each.asset_key, each.name) for each in made.check_specs} == {
        (dg.AssetKey("orders"), name) for name in ("planasonix_status", "planasonix_warnings", "mine")
    }


@pytest.mark.parametrize(
    ("what", "translator", "message"),
    [
        (
            TWO,
            ByTable(),
            "The tables public.orders of a (conn_a) and public.orders of b (conn_b) have the same asset key orders.",
        ),
        (
            state(connection("conn_a", "public.orders"), connection("conn_b", "public.orders", name="a")),
            None,
            "The tables public.orders of a (conn_a) and public.orders of a (conn_b) have the same asset key "
            "a/public/orders.",
        ),
        (
            state(connection("conn_a", "public.a-b", "public.a_b")),
            None,
            "The tables public.a-b of a (conn_a) and public.a_b of a (conn_a) have the asset keys a/public/a-b and "
            "a/public/a_b, one name to Dagster.",
        ),
    ],
)
def test_two_tables_of_one_key_are_an_error_that_names_both(
    what: WorkspaceState, translator: DagsterPlanasonixTranslator | None, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connection_specs(what, translator)
    assert caught.value.message == message
    assert "get_asset_spec" in str(caught.value)
    assert "translation:" in str(caught.value)


def test_two_connections_of_one_name_and_other_tables_are_two_ops() -> None:
    made = connection_specs(state(connection("conn_a", "x.one"), connection("conn_b", "x.two", name="a")))
    assert [each.connection.id for each in made] == ["conn_a", "conn_b"]


@pytest.mark.parametrize(
    ("cron", "timezone", "pause_hours"),
    [
        ("0 * * * *", None, 1),
        ("*/15 * * * *", None, 0.25),
        ("0 6 * * *", "Europe/Berlin", 24),
        # From Friday to Monday.
        ("0 6 * * 1-5", None, 72),
        ("0 6 1 * *", None, 31 * 24),
    ],
)
def test_freshness_is_measured_by_the_longest_pause(cron: str, timezone: str | None, pause_hours: float) -> None:
    policy = policy_of(connection("conn_a", schedule=cron, schedule_timezone=timezone))
    assert isinstance(policy, dg.FreshnessPolicy)
    window = policy.fail_window.to_timedelta()  # type: ignore[attr-defined]
    assert window.total_seconds() / 3600 == 2 * pause_hours


@pytest.mark.parametrize("changes", [{}, {"schedule": "hourly"}, {"schedule": "0 6 * * *", "paused": True}])
def test_no_freshness_is_made_up(changes: dict[str, object]) -> None:
    assert policy_of(connection("conn_a", **changes)) is None
