"""The pages of docs/dagster and the package's README: their Python runs, what they point at is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from dagster_planasonix import ConnectionSelection, PlanasonixWorkspace, PlanasonixWorkspaceComponent
from planasonix.sandbox import RunningSandbox
from tests.pages import ROOT, blocks, broken_links, missing_scenarios, missing_tests

FOLDER = ROOT / "docs" / "dagster"
README = ROOT / "dagster_planasonix" / "README.md"
PAGES = [*sorted(FOLDER.glob("*.md")), README, ROOT / "README.md"]
HOW_TOS = [page for page in PAGES if page.parent == FOLDER and page.name != "README.md"]
EXAMPLES = ROOT / "example_dags" / "dagster" / "planasonix_example"


def cases(kind: str, holding: str) -> list[Any]:
    """Blocks of all pages; the others of the root's README are for other environments."""
    return [
        pytest.param(code, id=f"{page.parent.name}-{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(blocks(page, kind), 1)
        if holding in code
    ]


@pytest.mark.planasonix_sandbox(speed=200)
@pytest.mark.parametrize("code", cases("python", "import dagster as dg"))
def test_its_python_loads_a_table(
    code: str, planasonix_sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it defines is a code location that loads, and the first table of each op can be materialized."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    # As a file of its own: not with this one's postponed annotations, which Dagster does not read.
    exec(compile(code, "page", "exec", dont_inherit=True), names)
    if isinstance(defs := names.get("defs"), dg.Definitions):
        dg.Definitions.validate_loadable(defs)
    started = 0
    for definition in assets_of(names, tmp_path):
        key = min(definition.keys)
        day = "2026-01-02" if definition.partitions_def else None
        resources = {"planasonix": PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY"))}
        with dg.instance_for_test() as instance:
            done = dg.materialize(
                [definition], selection=[key], partition_key=day, resources=resources, instance=instance
            )
        assert done.success
        # A detached run ends before its job does.
        if "detached" not in code:
            assert [event.asset_key for event in done.get_asset_materialization_events()] == [key]
        started += 1
    entries = planasonix_sandbox.journal
    assert sum(entry.operation in ("connections.sync", "connections.backfill") for entry in entries) == started


def test_its_job_subscribes_once_and_stores_no_secret(
    planasonix_sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = [each for each in blocks(FOLDER / "events.md", "python") if "ensure_webhook" in each]
    secret = "whsec_0123456789abcdef"
    monkeypatch.setenv("PLANASONIX_WEBHOOK_SECRETS", secret)
    names: dict[str, Any] = {}
    exec(compile(code, "page", "exec", dont_inherit=True), names)
    made: set[str] = set()
    with dg.instance_for_test() as instance:
        for _ in range(2):
            done = names["subscribe_once"].execute_in_process(instance=instance)
            made.add(done.output_for_node("subscribe"))
            assert not any(
                secret in str(record.event_log_entry) for record in instance.get_records_for_run(done.run_id).records
            )
    created = [entry for entry in planasonix_sandbox.journal if entry.operation == "webhooks.create"]
    assert len(made) == len(created) == 1


def assets_of(names: dict[str, Any], folder: Path) -> Iterator[dg.AssetsDefinition]:
    for value in names.values():
        if isinstance(value, type) and issubclass(value, PlanasonixWorkspaceComponent):
            if value is not PlanasonixWorkspaceComponent:
                yield from assets_of_component(value, folder)
        elif isinstance(value, dg.AssetsDefinition):
            yield value
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, dg.AssetsDefinition))


def assets_of_component(kind: type[PlanasonixWorkspaceComponent], folder: Path) -> list[Any]:
    """Of a subclass that a page shows, for one connection."""
    component = kind(connections=ConnectionSelection(by_id=("conn_shop_orders",)))
    component.write_state_to_path(folder / "state")
    context: Any = None
    return list(component.build_defs_from_state(context, folder / "state").assets or ())


@pytest.mark.planasonix_sandbox(speed=200)
@pytest.mark.parametrize("text", cases("yaml", "type: dagster_planasonix."))
def test_its_components_load(text: str, planasonix_sandbox: RunningSandbox) -> None:
    with create_defs_folder_sandbox() as box:
        path = box.scaffold_component(
            component_cls=PlanasonixWorkspaceComponent, defs_yaml_contents=yaml.safe_load(text)
        )
        with box.build_component_tree() as tree:
            component = tree.load_component(path)
        asyncio.run(component.refresh_state(box.project_root))
        with box.load_component_and_build_defs(defs_path=path) as (_, defs):
            assert len(defs.resolve_all_asset_specs()) == 5


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
    files = [path for path in EXAMPLES.joinpath("defs").rglob("*") if path.suffix in (".py", ".yaml")]
    assert len(files) == 6
    for example in files:
        assert f"/{example.relative_to(EXAMPLES)})" in index, example.name


def test_the_settings_of_the_readme_are_those_of_the_resource() -> None:
    settings = README.read_text().partition("## Settings")[2].partition("## ")[0]
    for name in PlanasonixWorkspace.model_fields:
        assert f"`{name}`" in settings, name
