"""The task group as Airflow sees it; the example `planasonix_task_group` runs it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_planasonix.task_groups import planasonix_syncs, sync_arguments
from planasonix.errors import ConfigurationError

CONNECTIONS = ["conn_a", {"connection_id": "conn_b", "name": "B, nightly", "priority": "low"}]


def instance(dag: DAG, map_index: int, conf: dict[str, Any] | None = None) -> tuple[Any, str]:
    """The task of one map index as its `execute` finds it, and its label."""
    mapped = dag.task_dict["sources.sync"]
    ti = SimpleNamespace(map_index=map_index, task=mapped)
    context: Any = {"ti": ti, "task": mapped, "dag": dag, "dag_run": SimpleNamespace(conf=conf or {})}
    mapped.render_template_fields(context)
    label = dag.get_template_env().from_string(mapped.map_index_template).render(context)
    return context["task"], label


def test_a_list_becomes_one_mapped_task_with_a_bound() -> None:
    with DAG("d", schedule=None) as dag:

        @task
        def after(outcomes: list[dict]) -> None: ...

        after(planasonix_syncs("sources", CONNECTIONS, max_active=3, deferrable=True, retries=2))
    assert set(dag.task_dict) == {"sources.sync", "after"}
    mapped = dag.task_dict["sources.sync"]
    assert mapped.max_active_tis_per_dagrun == 3
    assert (mapped.partial_kwargs["deferrable"], mapped.retries) == (True, 2)
    assert mapped.downstream_task_ids == {"after"}
    DagSerialization.to_dict(dag)


def test_each_instance_shows_its_name_or_id() -> None:
    with DAG("d", schedule=None) as dag:
        planasonix_syncs("sources", CONNECTIONS)
    first, second = instance(dag, 0), instance(dag, 1)
    assert [label for _, label in (first, second)] == ["conn_a", "B, nightly"]
    assert [(each.connection_id, each.priority) for each, _ in (first, second)] == [("conn_a", None), ("conn_b", "low")]


def test_another_task_may_say_which() -> None:
    with DAG("d", schedule=None) as dag:

        @task
        def choose() -> list[str]:
            return ["conn_a"]

        planasonix_syncs("sources", choose())
    assert dag.task_dict["sources.sync"].upstream_task_ids == {"choose"}
    assert dag.task_dict["sources.sync"].max_active_tis_per_dagrun == 20
    DagSerialization.to_dict(dag)


def test_an_empty_list_is_airflows_to_skip() -> None:
    with DAG("d", schedule=None) as dag:
        planasonix_syncs("sources", [])
    assert "sources.sync" in dag.task_dict


@pytest.mark.parametrize(
    ("connections", "says"),
    [
        ("conn_a", "must be a list"),
        ({"connection_id": "conn_a"}, "must be a list"),
        (None, "must be a list"),
        ([""], "connection_id must be"),
        ([{"name": "A"}], "connection_id must be"),
        ([{"connection_id": 7}], "connection_id must be"),
        ([7], "must be an id or a dictionary"),
        ([{"connection_id": "conn_a", "retries": 3}], "no 'retries'"),
        (["conn_a", "conn_b", "conn_a"], "conn_a is there twice"),
        (["conn_a", {"connection_id": "conn_a", "name": "A"}], "conn_a is there twice"),
    ],
)
def test_what_is_wrong_is_an_error_of_the_dag_file(connections: Any, says: str) -> None:
    with DAG("d", schedule=None), pytest.raises(ConfigurationError, match=says) as caught:
        planasonix_syncs("sources", connections)
    assert caught.value.field == "connections"


@pytest.mark.parametrize("max_active", [0, -1, "3", True, 2.5])
def test_a_bound_is_a_number(max_active: Any) -> None:
    with DAG("d", schedule=None), pytest.raises(ConfigurationError, match="max_active"):
        planasonix_syncs("sources", ["conn_a"], max_active=max_active)


@pytest.mark.parametrize("name", ["task_id", "connection_id", "map_index_template", "max_active_tis_per_dagrun"])
def test_what_the_group_says_itself_is_refused(name: str) -> None:
    with DAG("d", schedule=None), pytest.raises(ConfigurationError, match=name) as caught:
        planasonix_syncs("sources", ["conn_a"], **{name: "x"})
    assert caught.value.field == name


def test_one_connection_with_two_pipelines_is_no_twin() -> None:
    both = [sync_arguments({"connection_id": "conn_a", "pipeline_id": pipeline}) for pipeline in ("pl_1", "pl_2")]
    with DAG("d", schedule=None):
        planasonix_syncs("sources", both)
