"""The pages of docs/airflow and the provider's README: their Python runs, what they point at is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.secrets.local_filesystem import load_connections_dict

from airflow_provider_planasonix.hooks.settings import settings_of
from tests.scenarios.matrix import CELLS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "airflow"
PAGES = [*sorted(FOLDER.glob("*.md")), ROOT / "airflow_provider" / "README.md", ROOT / "README.md"]
HOW_TOS = [page for page in PAGES if page.parent == FOLDER and page.name != "README.md"]


def blocks(page: Path, kind: str = "python") -> list[str]:
    fences = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [code for info, code in fences if info == kind]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


CASES = [
    pytest.param(page, code, id=f"{page.parent.name}-{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks(page), 1)
    if "airflow" in code
]


@pytest.mark.parametrize(("page", "code"), CASES)
def test_its_python_builds_what_it_says(page: Path, code: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(code, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_its_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_the_tests_that_it_names_are_there(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_the_scenarios_that_it_names_are_there(page: Path) -> None:
    assert set(re.findall(r"scenarios\.md\) “([^”]+)”", page.read_text())) <= {cell.name for cell in CELLS}


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
