"""The component as `dg` uses it: YAML in, state on disk, definitions out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components import DefsStateConfigArgs
from dagster.components.testing import create_defs_folder_sandbox, test_cases

from dagster_planasonix import (
    ConnectionSelection,
    PlanasonixTableProps,
    PlanasonixWorkspace,
    PlanasonixWorkspaceComponent,
)
from planasonix.errors import ConfigurationError
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_b2c8"
TYPE = "dagster_planasonix.PlanasonixWorkspaceComponent"
STATE = {"management_type": "LOCAL_FILESYSTEM", "refresh_if_dev": False}


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with Sandbox(api_keys=(KEY,)).serve() as served:
        yield served


@pytest.fixture
def served(running: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    running.reset()
    monkeypatch.setenv("SANDBOX_KEY", KEY)
    monkeypatch.setenv("SANDBOX_URL", running.url)
    return running


class Project:
    """A project with one component of ours."""

    def __init__(self, box: Any, attributes: dict[str, Any]) -> None:
        self.box = box
        workspace = {"api_key": "{{ env.SANDBOX_KEY }}", "base_url": "{{ env.SANDBOX_URL }}"}
        self.contents = {
            "type": TYPE,
            "attributes": {
                "workspace": workspace,
                "connections": {"by_id": ["conn_shop_orders"]},
                "defs_state": STATE,
                **attributes,
            },
        }
        self.path = box.scaffold_component(component_cls=PlanasonixWorkspaceComponent, defs_yaml_contents=self.contents)

    def component(self) -> PlanasonixWorkspaceComponent:
        with self.box.build_component_tree() as tree:
            return tree.load_component(self.path)

    def refresh(self) -> Path:
        """What `dg utils refresh-defs-state` does. Returns the state's file."""
        asyncio.run(self.component().refresh_state(self.box.project_root))
        (state,) = self.box.project_root.rglob(".local_defs_state/*/state")
        return state

    def definitions(self) -> dg.Definitions:
        with self.box.load_component_and_build_defs(defs_path=self.path) as (_, defs):
            return defs

    def only_op(self) -> dg.AssetsDefinition:
        (made,) = self.definitions().assets or ()
        assert isinstance(made, dg.AssetsDefinition)
        return made


@contextmanager
def project(**attributes: Any) -> Iterator[Project]:
    with create_defs_folder_sandbox() as box:
        yield Project(box, attributes)


def reason(caught: pytest.ExceptionInfo[Exception]) -> str:
    """The text of the error that is ours: Dagster's own says where."""
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def calls(served: Any) -> Counter[str]:
    return Counter(entry.operation for entry in served.journal)


def test_state_then_definitions_without_the_api_or_a_key(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with project() as made:
        state = made.refresh()
        assert calls(served) == {"connections.list": 1, "connections.tables": 1}
        assert KEY not in state.read_text()
        monkeypatch.delenv("SANDBOX_KEY")
        monkeypatch.delenv("SANDBOX_URL")
        op = made.only_op()
    assert op.op.name == "conn_shop_orders"
    assert dg.AssetKey(["shop_orders", "public", "orders"]) in op.keys
    assert len(list(op.check_specs)) == 10
    assert sum(calls(served).values()) == 2


def test_without_state_it_says_what_to_do_and_is_never_empty(served: Any) -> None:
    with project() as made, pytest.raises(Exception, match="PlanasonixWorkspaceComponent") as caught:
        made.definitions()
    assert "There is no state of PlanasonixWorkspaceComponent[" in reason(caught)
    assert "dg utils refresh-defs-state" in reason(caught)


def test_a_state_of_another_version_is_refused(served: Any) -> None:
    with project() as made:
        state = made.refresh()
        state.write_text(state.read_text().replace('"version": 1', '"version": 0'))
        with pytest.raises(Exception, match="PlanasonixWorkspaceComponent") as caught:
            made.definitions()
    assert "has version 0" in reason(caught)
    assert "dg utils refresh-defs-state" in reason(caught)


def test_an_old_state_is_told_by_its_hours(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    with project(warn_when_state_older_than_hours=48) as made:
        state = made.refresh()
        with caplog.at_level(logging.WARNING, logger="dagster_planasonix"):
            made.definitions()
            assert "hours old" not in caplog.text
            year = state.read_text().split('"fetched_at": "')[1][:4]
            state.write_text(state.read_text().replace(f'"fetched_at": "{year}', '"fetched_at": "2020'))
            made.definitions()
    assert "hours old: connections and tables may have changed" in caplog.text


def test_another_choice_has_another_state(served: Any) -> None:
    keys = set()
    for attributes in (
        {},
        {"connections": {"by_id": ["conn_hr_people"]}},
        {"connections": "all"},
        {"include_columns": True},
        {"workspace": {"api_key": "{{ env.SANDBOX_KEY }}", "organization_id": "org_2"}},
    ):
        with project(**attributes) as made:
            keys.add(made.component().defs_state_config.key)
    assert len(keys) == 5
    with (
        project(connections={"by_id": ["conn_a", "conn_b"]}) as one,
        project(connections={"by_id": ["conn_b", "conn_a", "conn_a"]}) as same,
    ):
        assert one.component().defs_state_config.key == same.component().defs_state_config.key


def test_a_state_under_a_key_of_ones_own_is_held_to_what_is_chosen(served: Any, tmp_path: Path) -> None:
    """Such a key stays the same when `connections:` is edited."""
    two = ConnectionSelection(by_id=("conn_hr_people", "conn_shop_orders"))
    shop = DefsStateConfigArgs.local_filesystem()
    workspace = PlanasonixWorkspace(api_key=KEY, base_url=served.url)

    def with_connections(chosen: ConnectionSelection | None) -> PlanasonixWorkspaceComponent:
        return PlanasonixWorkspaceComponent(connections=chosen, workspace=workspace, defs_state=shop)

    with_connections(two).write_state_to_path(tmp_path / "state")
    context: Any = None
    fewer = with_connections(ConnectionSelection(by_name=("shop_orders",)))
    (made,) = fewer.build_defs_from_state(context, tmp_path / "state").assets or ()
    assert isinstance(made, dg.AssetsDefinition)
    assert made.op.name == "conn_shop_orders"
    other = with_connections(ConnectionSelection(by_id=("conn_shop_orders", "conn_suport")))
    with pytest.raises(ConfigurationError, match="and no connection with id conn_suport") as caught:
        other.build_defs_from_state(context, tmp_path / "state")
    assert "holds shop_orders (conn_shop_orders), " in str(caught.value)
    assert "dg utils refresh-defs-state" in str(caught.value)


def test_an_edit_in_yaml_below_a_key_of_ones_own_is_told(served: Any) -> None:
    state = {**STATE, "key": "shop"}
    with create_defs_folder_sandbox() as box:
        Project(box, {"defs_state": state}).refresh()
        edited = Project(box, {"defs_state": state, "connections": {"by_id": ["conn_hr_people"]}})
        with pytest.raises(Exception, match="PlanasonixWorkspaceComponent") as caught:
            edited.definitions()
    assert "The state of shop holds shop_orders (conn_shop_orders)" in reason(caught)


def test_the_key_of_the_state_is_no_trace_of_the_secret(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with project() as made:
        before = made.component().defs_state_config.key
        monkeypatch.setenv("SANDBOX_KEY", "plnx_live_rotated")
        assert made.component().defs_state_config.key == before
        assert KEY not in repr(made.component())


def test_the_key_is_its_usual_variable_where_none_is_named(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANASONIX_API_KEY", KEY)
    with project(workspace={"base_url": served.url}) as made:
        made.refresh()
        assert made.only_op().keys


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"connections": {}}, "connections names none"),
        ({"connections": {"by_id": []}}, "connections names none"),
        ({"connections": {"by_ids": ["x"]}}, "by_ids"),
        ({"connections": "some"}, "some"),
        ({"workspace": {"api_kye": KEY}}, "api_kye"),
        ({"workspace": {"timeout_seconds": "soon"}}, "timeout_seconds"),
        ({"execution": "later"}, "execution is 'later'"),
        ({"execution": "detached"}, "there is no polling_sensor"),
        ({"polling_sensor": {"default_status": "ON"}}, "default_status"),
        ({"sync_options": {"partition_mod": "window"}}, "sync_options has 'partition_mod'"),
        ({"sync_options": {"partition_mode": "windw"}}, "partition_mode must be one of"),
        ({"max_workers": 0}, "max_workers must be above zero"),
        ({"op": {"pools": "x"}}, "pools"),
        ({"op": {"retry_policy": {"backoff": "SLOWLY"}}}, "backoff"),
    ],
)
def test_a_mistake_in_yaml_is_told(served: Any, attributes: dict[str, Any], message: str) -> None:
    with project(**attributes) as made, pytest.raises(Exception, match="PlanasonixWorkspaceComponent") as caught:
        made.component()
    text = f"{caught.value}{reason(caught)}{caught.value.__context__}"
    assert message in text
    assert KEY not in text


def test_a_misspelt_word_of_the_workspace_is_told_with_its_line(served: Any) -> None:
    wrong = {"if_running": "wiat", "api_key": KEY}
    with project(workspace=wrong) as made, pytest.raises(Exception, match="Component") as caught:
        made.component()
    text = str(caught.value.__context__ or caught.value.__cause__)
    assert "Input should be 'wait', 'attach', 'skip' or 'fail'" in text
    assert "defs.yaml:" in text
    assert not any(KEY[start : start + 6] in text for start in range(len(KEY) - 5))


def test_a_word_of_the_workspace_may_be_a_template(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEN_BUSY", "skip")
    with project(workspace={"if_running": "{{ env.WHEN_BUSY }}"}) as made:
        assert made.component().workspace.if_running == "skip"


def test_every_knob_of_the_op_reaches_it(served: Any) -> None:
    op_attributes = {
        "name_prefix": "eu_",
        "pool": "api",
        "tags": {"dagster/priority": "3"},
        "retry_policy": {"max_retries": 3, "delay": 1.5, "backoff": "EXPONENTIAL", "jitter": "FULL"},
        "backfill_policy": {"type": "multi_run", "max_partitions_per_run": 5},
    }
    daily = {"type": "daily", "start_date": "2026-01-01"}
    with project(op=op_attributes, translation={"partitions_def": daily}) as made:
        made.refresh()
        found = made.only_op()
    assert found.op.name == "eu_conn_shop_orders"
    assert found.op.pool == "api"
    assert found.op.tags["dagster/priority"] == "3"
    assert found.op.retry_policy == dg.RetryPolicy(
        max_retries=3, delay=1.5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL
    )
    assert found.backfill_policy == dg.BackfillPolicy.multi_run(5)
    assert found.partitions_def == dg.DailyPartitionsDefinition("2026-01-01")


def test_the_defaults_of_the_op(served: Any) -> None:
    with project(translation={"partitions_def": {"type": "daily", "start_date": "2026-01-01"}}) as made:
        made.refresh()
        found = made.only_op()
    assert found.op.pool == "planasonix_conn_shop_orders"
    assert found.backfill_policy == dg.BackfillPolicy.single_run()


def test_a_sensor_watches_the_same_assets(served: Any) -> None:
    options = {"name": "watch_orders", "default_status": "RUNNING", "minimum_interval_seconds": 60}
    with project(execution="detached", polling_sensor=options) as made:
        made.refresh()
        (sensor,) = made.definitions().sensors or ()
    assert isinstance(sensor, dg.SensorDefinition)
    assert (sensor.name, sensor.minimum_interval_seconds) == ("watch_orders", 60)
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING


@pytest.mark.parametrize(("wanted", "count"), [(True, 1), (False, 0)])
def test_a_sensor_with_its_defaults_or_none(served: Any, wanted: bool, count: int) -> None:
    with project(polling_sensor=wanted) as made:
        made.refresh()
        assert len(list(made.definitions().sensors or ())) == count


def test_a_template_sees_the_table(served: Any) -> None:
    translation = {
        "key": "{{ props.schema }}/{{ props.table_name }}",
        "metadata": {"from": "{{ props.connection_id }}"},
    }
    with project(translation=translation) as made:
        made.refresh()
        found = made.only_op()
    spec = next(spec for spec in found.specs if spec.key == dg.AssetKey(["public", "orders"]))
    assert spec.metadata["from"] == "conn_shop_orders"
    assert spec.metadata["planasonix/table"] == "public.orders"
    assert {check.asset_key for check in found.check_specs} == set(found.keys)


class TestTranslationOfOurs(test_cases.TestTranslation):
    """Dagster's own cases of `translation:`."""

    def test_translation(self, served: Any, attributes: dict[str, Any], assertion: Any, key_modifier: Any) -> None:
        with project(translation=attributes) as made:
            made.refresh()
            specs = {spec.key: spec for spec in made.only_op().specs}
        key = dg.AssetKey(["shop_orders", "public", "orders"])
        assert assertion(specs[key_modifier(key) if key_modifier else key])


class Own(PlanasonixWorkspaceComponent):
    def get_asset_spec(self, props: PlanasonixTableProps) -> dg.AssetSpec:
        return super().get_asset_spec(props).replace_attributes(owners=["team:data"])

    def get_check_specs(self, props: PlanasonixTableProps) -> list[dg.AssetCheckSpec]:
        return []

    def execute(self, context: dg.AssetExecutionContext, config: Any = None) -> Iterator[Any]:
        for key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata={"mine": 1})


def test_a_subclass_may_override_specs_checks_and_what_is_done(served: Any, tmp_path: Path) -> None:
    own = Own(
        connections=ConnectionSelection(by_id=("conn_shop_orders",)),
        workspace=PlanasonixWorkspace(api_key=KEY, base_url=served.url),
    )
    own.write_state_to_path(tmp_path / "state")
    context: Any = None
    (found,) = own.build_defs_from_state(context, tmp_path / "state").assets or ()
    assert isinstance(found, dg.AssetsDefinition)
    assert {tuple(spec.owners) for spec in found.specs} == {("team:data",)}
    assert not list(found.check_specs)
    assert len(dg.materialize([found]).get_asset_materialization_events()) == 5


def test_columns_of_the_state_are_shown(served: Any) -> None:
    with project(include_columns=True) as made:
        made.refresh()
        found = made.only_op()
    assert all(spec.metadata["dagster/column_schema"].columns for spec in found.specs)
