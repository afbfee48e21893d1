"""The pages of docs/airflow and the provider's README: their Python runs, what they point at is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.secrets.local_filesystem import load_connections_dict

from airflow_provider_planasonix.hooks.settings import settings_of
from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from tests.pages import ROOT, blocks, broken_links, missing_scenarios, missing_tests

FOLDER = ROOT / "docs" / "airflow"
PAGES = [*sorted(FOLDER.glob("*.md")), ROOT / "airflow_provider" / "README.md", ROOT / "README.md"]
HOW_TOS = [page for page in PAGES if page.parent == FOLDER and page.name != "README.md"]


CASES = [
    pytest.param(page, code, id=f"{page.parent.name}-{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks(page), 1)
    # The root README's others are for the core's environment.
    if "airflow" in code or page.parent == FOLDER
]


@pytest.mark.parametrize(("page", "code"), CASES)
def test_its_python_builds_what_it_says(page: Path, code: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(code, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_what_it_points_at_is_there(page: Path) -> None:
    assert broken_links(page) == []
    assert missing_tests(page) == []
    assert missing_scenarios(page) == set()


def test_no_dag_of_the_pipelines_page_needs_a_job_that_is_not_there() -> None:
    """Each DAG runs as pasted, but the one whose whole purpose is an id that the user types in."""
    dags: list[Any] = []
    for code in blocks(FOLDER / "pipelines.md"):
        kept = code.replace("with DAG(", "with keep(DAG)(")
        exec(compile(kept, "pipelines.md", "exec"), keeping(dags))
    assert {dag.dag_id: set(dag.params) for dag in dags if "job_id" in dag.params} == {"cancel_a_job": {"job_id"}}
    [by_hand] = [dag for dag in dags if dag.dag_id == "cancel_a_job"]
    assert by_hand.task_ids == ["stop_by_id"]


def keeping(dags: list[Any]) -> dict[str, Any]:
    """`keep` for a snippet: its DAGs, which no name holds."""

    def keep(kind: Any) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            dags.append(kind(*args, **kwargs))
            return dags[-1]

        return made

    return {"keep": keep}


def test_the_sandbox_connection_of_the_readme_shows_the_button() -> None:
    readme = (ROOT / "airflow_provider" / "README.md").read_text()
    [text] = [each for each in re.findall(r"AIRFLOW_CONN_PLANASONIX_DEFAULT='(.*)'", readme) if "8765" in each]
    connection = Connection.from_json(text)
    settings = settings_of(connection, connection.extra_dejson)
    assert settings["job_url_template"] == "http://127.0.0.1:8765/#/{kind}s/{id}"


def test_the_examples_name_nothing_that_the_wheel_has_not() -> None:
    for example in (ROOT / "example_dags" / "airflow").glob("*.py"):
        assert "`make " not in example.read_text(), example.name


def test_the_old_parameters_lead_to_the_new_ones() -> None:
    with pytest.raises(TypeError, match="Invalid arguments were passed to PlanasonixSyncOperator") as caught:
        PlanasonixSyncOperator(task_id="t", connection_id="c", timeout=3600, poll_interval=30)
    page = (FOLDER / "migration.md").read_text()
    assert "Invalid arguments were" in page
    for old in ("timeout=3600", "poll_interval=30"):
        name = old.partition("=")[0]
        assert name in str(caught.value)
        assert f"| `{old}` | `{name}_seconds`" in page


def test_every_how_to_has_code_and_stands_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text()
    for page in HOW_TOS:
        assert f"({page.name})" in index, page.name
        assert blocks(page), page.name


def test_every_example_stands_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text()
    for example in (ROOT / "example_dags" / "airflow").glob("*.py"):
        assert f"/{example.name})" in index, example.name


def test_the_migration_of_a_connection(tmp_path: Path) -> None:
    """With what `airflow connections export` writes, and as `airflow connections import` reads it."""
    plain = {"description": None, "login": None, "port": None, "schema": None}
    old = {
        "planalytix_default": {
            **{"conn_type": "planalytix", "host": "api.planasonix.com", "password": "key-1"},
            **{"extra": '{"organization_id": "org_1", "something": "else"}', **plain},
        },
        "shop": {
            **{"conn_type": "planalytix", "host": "https://eu.planasonix.com", "password": None},
            **{"extra": '{"api_key": "key-2"}', **plain},
        },
        "postgres_default": {"conn_type": "postgres", "host": "db", "password": "other", "extra": None, **plain},
    }
    (tmp_path / "planalytix.json").write_text(json.dumps(old))
    [shell] = [block for block in blocks(FOLDER / "migration.md", "") if "connections export" in block]
    script = shell.partition("<<'EOF'\n")[2].partition("EOF\n")[0]
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "key-" not in done.stdout
    new = load_connections_dict(str(tmp_path / "planasonix.json"))
    settings = {
        conn_id: settings_of(connection, json.loads(connection.extra or "{}")) for conn_id, connection in new.items()
    }
    assert settings == {
        "planasonix_default": {"api_key": "key-1", "base_url": "api.planasonix.com", "organization_id": "org_1"},
        "shop_planasonix": {"api_key": "key-2", "base_url": "https://eu.planasonix.com"},
    }
