"""Dagster's own pages in a real browser: the assets, what was loaded with the way to its job, the checks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from scripts.dagster_local import LocalDagster
from scripts.local.sandbox import SandboxProcess

# Dagster's pages are large, and a browser beside it leaves a small machine little.
pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PATIENCE_MS = 90_000
SHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of the pages, for people who want to look at them."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "this test drives chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, example: LocalDagster) -> Iterator[Page]:
    # The first visitor of an instance is invited to the community, in front of everything else.
    example.graphql.ask("mutation { setNuxSeen }")
    opened = browser.new_page(viewport={"width": 1600, "height": 1100})
    opened.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield opened
    opened.context.close()


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.wait_for_timeout(2000)
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def test_the_graph_shows_the_assets_of_a_group(example: LocalDagster, loaded: dict[str, str], page: Page) -> None:
    page.goto(f"{example.url}/locations/__repository__@scene/asset-groups/shop/lineage")
    for table in ("orders", "order_items", "customers", "refunds", "payments", "orders_report"):
        expect(page.get_by_text(table, exact=True).first).to_be_visible()
    shot(page, "asset-graph")


def test_a_materialization_leads_to_its_job(
    example: LocalDagster, sandbox: SandboxProcess, loaded: dict[str, str], page: Page
) -> None:
    event = example.materializations("raw/shop/orders")[0].metadata
    page.goto(f"{example.url}/assets/raw/shop/orders?view=events")
    expect(page.get_by_text("planasonix/job_id").first).to_be_visible()
    expect(page.get_by_text(event["planasonix/job_id"]).first).to_be_visible()
    shot(page, "materialization")
    link = page.get_by_role("link", name=event["planasonix/job_url"]).first
    expect(link).to_have_attribute("href", event["planasonix/job_url"])
    with page.context.expect_page() as opened:
        link.click()
    expect(opened.value.get_by_text(event["planasonix/job_id"]).first).to_be_visible()
    shot(opened.value, "job")
    assert sandbox.api_key not in page.content()


def test_the_checks_of_a_table_are_shown(example: LocalDagster, loaded: dict[str, str], page: Page) -> None:
    page.goto(f"{example.url}/assets/raw/shop/orders?view=checks")
    for name in ("planasonix_status", "planasonix_warnings", "planasonix_rows"):
        expect(page.get_by_text(name).first).to_be_visible()
    expect(page.get_by_text("Passed").first).to_be_visible()
    shot(page, "checks")


def test_the_log_of_a_run_names_its_job(example: LocalDagster, loaded: dict[str, str], page: Page) -> None:
    first = example.materializations("raw/shop/orders")[-1].metadata
    page.goto(f"{example.url}/runs/{loaded['shop']}")
    expect(page.get_by_text(first["planasonix/job_id"]).first).to_be_visible()
    shot(page, "run")
