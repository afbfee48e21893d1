"""`dg scaffold defs`: a file to fill in, that helps where it can and holds no secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from pydantic import ValidationError

from dagster_planasonix.components.workspace_component.scaffolder import (
    PlanasonixScaffoldParams,
    PlanasonixWorkspaceScaffolder,
)
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_3f70"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Sandbox(api_keys=(KEY,)).serve() as served:
        yield served.url


def scaffold(folder: Path, *, format: Any = "yaml", append: bool = False, **params: Any) -> str:
    target = folder / "defs.yaml" if append else folder
    request = dg.ScaffoldRequest(
        type_name="dagster_planasonix.PlanasonixWorkspaceComponent",
        target_path=target,
        scaffold_format=format,
        project_root=None,
        params=PlanasonixScaffoldParams(**params),
        append=append,
    )
    PlanasonixWorkspaceScaffolder().scaffold(request)
    (file,) = folder.iterdir()
    return file.read_text()


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANASONIX_API_KEY", raising=False)


def test_ids_that_are_given_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PLANASONIX_API_KEY", KEY)
    text = scaffold(tmp_path, connection_id=["conn_a", "conn_b"], base_url=url)
    assert yaml.safe_load(text) == {
        "type": "dagster_planasonix.PlanasonixWorkspaceComponent",
        "attributes": {
            "workspace": {"api_key": "{{ env.PLANASONIX_API_KEY }}", "base_url": url},
            "connections": {"by_id": ["conn_a", "conn_b"]},
        },
    }
    assert KEY not in text


def test_with_a_key_it_offers_the_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    text = scaffold(tmp_path, api_key_variable="OTHER_KEY", base_url=url)
    assert "conn_shop_orders shop_orders (postgres)" in text
    assert all(line.startswith("#") for line in text.splitlines() if "conn_" in line)
    assert yaml.safe_load(text)["attributes"]["workspace"]["api_key"] == "{{ env.OTHER_KEY }}"
    assert KEY not in text


def test_without_a_key_it_says_how(tmp_path: Path) -> None:
    text = scaffold(tmp_path)
    assert yaml.safe_load(text)["attributes"]["connections"] == {"by_id": []}
    assert "# With PLANASONIX_API_KEY set, scaffolding lists them here." in text


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "not a url"])
def test_an_api_out_of_reach_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("PLANASONIX_API_KEY", KEY)
    text = scaffold(tmp_path, base_url=address)
    assert "They could not be listed" in text
    assert KEY not in text


def test_a_key_that_is_refused_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PLANASONIX_API_KEY", "plnx_live_wrong")
    assert "They could not be listed: AuthenticationError" in scaffold(tmp_path, base_url=url)


def test_it_appends_and_writes_python_as_dagster_does(tmp_path: Path) -> None:
    scaffold(tmp_path)
    text = scaffold(tmp_path, append=True, connection_id=["conn_b"])
    assert len(list(yaml.safe_load_all(text))) == 2
    (tmp_path / "python").mkdir()
    assert "PlanasonixWorkspaceComponent" in scaffold(tmp_path / "python", format="python")


def test_a_key_in_the_place_of_its_variable_is_refused_unseen() -> None:
    with pytest.raises(ValidationError) as caught:
        PlanasonixScaffoldParams(api_key_variable=KEY)
    assert "NAME of an environment variable" in str(caught.value)
    assert KEY not in str(caught.value)
