"""The pages of docs/prefect, the package's README and the examples: their flows run, what they point at is there."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow, Task

from planasonix.sandbox import RunningSandbox, Sandbox
from prefect_planasonix import PlanasonixCredentials, flows, tasks
from tests.pages import ROOT, blocks, broken_links, missing_scenarios, missing_tests
from tests.prefect.conftest import CANARY_KEY

FOLDER = ROOT / "docs" / "prefect"
README = ROOT / "prefect_planasonix" / "README.md"
PAGES = [*sorted(FOLDER.glob("*.md")), README, ROOT / "README.md"]
HOW_TOS = [page for page in PAGES if page.parent == FOLDER and page.name != "README.md"]
EXAMPLES = sorted((ROOT / "example_dags" / "prefect").glob("*.py"))


def cases() -> list[Any]:
    """Blocks of all pages; the others of the root's README are for other environments."""
    return [
        pytest.param(code, id=f"{page.parent.name}-{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(blocks(page), 1)
        if "prefect" in code
    ]


@pytest.fixture
def account(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Saved as the pages load it, for a sandbox in which a job takes a moment."""
    with Sandbox(api_keys=(CANARY_KEY,), speed=200).serve() as running:
        monkeypatch.setenv("PLANASONIX_BASE_URL", running.url)
        monkeypatch.setenv("PLANASONIX_API_KEY", CANARY_KEY)
        PlanasonixCredentials(api_key=CANARY_KEY, base_url=running.url).save("planasonix", overwrite=True)
        yield running


@pytest.mark.scenario
@pytest.mark.parametrize("code", cases())
def test_its_python_runs(code: str, account: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "page", "exec", dont_inherit=True), names)
    ran = run_flows(names)
    assert bool(ran) == ("@flow" in code)


@pytest.mark.scenario
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(example: Path, account: RunningSandbox) -> None:
    spec = importlib.util.spec_from_file_location(f"example_{example.stem}", example)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert run_flows(vars(module))
    starts = ("connections.sync", "connections.backfill")
    assert any(entry.operation in starts for entry in account.journal)


def run_flows(names: dict[str, Any]) -> list[str]:
    """Run what a page or an example defines, without arguments where it has none that are required."""
    ran: list[str] = []
    for name, value in names.items():
        if not isinstance(value, Flow) or value.fn.__module__.startswith("prefect_planasonix"):
            continue
        if any(one.default is inspect.Parameter.empty for one in inspect.signature(value.fn).parameters.values()):
            continue
        asyncio.run(value()) if value.isasync else value()
        ran.append(name)
    return ran


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_what_it_points_at_is_there(page: Path) -> None:
    assert broken_links(page) == []
    assert missing_tests(page) == []
    assert missing_scenarios(page) == set()


def test_every_how_to_has_code_and_stands_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text()
    for page in HOW_TOS:
        assert f"({page.name})" in index, page.name
        assert blocks(page), page.name


def test_every_example_stands_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text()
    for example in EXAMPLES:
        assert f"/{example.name})" in index, example.name


def test_the_page_lists_every_flow_and_task_with_its_module() -> None:
    page = (FOLDER / "flows-and-tasks.md").read_text()
    listed = {
        (module, name)
        for module, sync, twin in re.findall(r"^\| `(prefect_planasonix\.\w+)` \| `(\w+)` \| `(\w+)` \|$", page, re.M)
        for name in (sync, twin)
    }
    there = {
        (f.__name__, name) for f in (flows, tasks) for name, one in vars(f).items() if isinstance(one, Flow | Task)
    }
    assert listed == there
