"""Prefect's own pages in a real browser: the form of a block, and what the page of a flow run shows of its job.

Driven from outside, over the server: the core's environment has the browser, and nothing of Prefect.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from scripts.local.ports import free_port
from scripts.local.sandbox import SandboxProcess
from scripts.prefect_local import LocalPrefect

# Prefect's pages are large, and a browser beside its server leaves a small machine little.
pytestmark = [pytest.mark.live, pytest.mark.scenario, pytest.mark.timeout(900)]

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PATIENCE_MS = 120_000
SHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of the pages, for people who want to look at them."""

CANARY_KEY = os.environ.get("PLANASONIX_SANDBOX_API_KEY") or f"plnx_live_canary_{secrets.token_hex(16)}"
CONNECTION = "conn_shop_orders"
FLOWS = {
    "load.py": f"""
import os
from datetime import UTC, datetime

from planasonix.errors import RunFailedError
from prefect import flow
from prefect_planasonix import PlanasonixBackfill, PlanasonixCredentials, PlanasonixPipelineRun, PlanasonixSync

BLOCKS = (PlanasonixCredentials, PlanasonixSync, PlanasonixBackfill, PlanasonixPipelineRun)


@flow
def load_shop():
    run = PlanasonixBackfill(
        credentials=PlanasonixCredentials(
            api_key=os.environ["PLANASONIX_API_KEY"], job_url_template=os.environ["PLANASONIX_JOB_URL_TEMPLATE"]
        ),
        connection_id="{CONNECTION}",
        start_at=datetime(2026, 1, 1, tzinfo=UTC),
        end_at=datetime(2026, 1, 2, tzinfo=UTC),
        tables=["public.orders", "public.refunds"],
    ).trigger()
    try:
        run.wait_for_completion()
    except RunFailedError:
        return


if __name__ == "__main__":
    for block in BLOCKS:
        block.register_type_and_schema()
    load_shop()
"""
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(free_port(), CANARY_KEY, tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture(scope="module")
def prefect(sandbox: SandboxProcess) -> Iterator[LocalPrefect]:
    """A Prefect with pages, in which one flow has run; its job failed in one of two tables."""
    warnings = [{"code": "W_WIDENED", "message": "column public.orders.total was widened"}]
    script = {"outcome": "failed", "loaded_tables": ["public.orders"], "warnings": warnings}
    sandbox.control("PUT", f"connections/{CONNECTION}/script", script)
    variables = {
        "PLANASONIX_API_KEY": sandbox.api_key,
        "PLANASONIX_BASE_URL": sandbox.url,
        "PLANASONIX_JOB_URL_TEMPLATE": f"{sandbox.url}/#/{{kind}}s/{{id}}",
    }
    with LocalPrefect(FLOWS, workers=0, pages=True, environment_variables=variables) as running:
        running.run_to_end("load.py", "load", timeout_seconds=300)
        yield running
        assert running.files_with(CANARY_KEY) == [], "the API key stands in Prefect's logs, results or database"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "this test drives chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, prefect: LocalPrefect) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1500, "height": 1200})
    opened.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield opened
    opened.context.close()


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.wait_for_timeout(3000)
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("slug", "labels"),
    [
        ("planasonix-credentials", ["API Key", "Block Name"]),
        ("planasonix-sync", ["Credentials", "Connection ID", "Asset Key Template"]),
    ],
)
def test_a_block_can_be_filled_in(prefect: LocalPrefect, page: Page, slug: str, labels: list[str]) -> None:
    page.goto(f"{prefect.url}/blocks/catalog/{slug}/create")
    for label in labels:
        expect(page.get_by_text(label).first).to_be_visible()
    shot(page, f"block-{slug}")


def test_the_page_of_a_run_shows_its_job(prefect: LocalPrefect, page: Page) -> None:
    [run] = prefect.runs()
    page.goto(f"{prefect.url}/runs/flow-run/{run['id']}")
    page.get_by_text("Artifacts", exact=True).last.click()
    for key in ("link", "progress", "tables", "report"):
        expect(page.get_by_text(f"planasonix-{key}-conn-shop-orders").first).to_be_visible()
    shot(page, "run-artifacts")
    page.get_by_text("planasonix-tables-conn-shop-orders").first.click()
    expect(page.get_by_text("public.refunds").first).to_be_visible()
    expect(page.get_by_text("failed").first).to_be_visible()
    shot(page, "tables")
    assert CANARY_KEY not in page.content()


def test_the_report_says_why(prefect: LocalPrefect, page: Page) -> None:
    [run] = prefect.runs()
    [report] = prefect.artifacts(run["id"], "planasonix-report-")
    page.goto(f"{prefect.url}/artifacts/artifact/{report['id']}")
    expect(page.get_by_text("source_unavailable").first).to_be_visible()
    expect(page.get_by_text("W_WIDENED").first).to_be_visible()
    shot(page, "report")
    [link] = prefect.artifacts(run["id"], "planasonix-link-")
    page.goto(f"{prefect.url}/artifacts/artifact/{link['id']}")
    address = link["data"].partition("](")[2].rstrip(")")
    expect(page.locator(f'a[href="{address}"]').first).to_be_visible()
    shot(page, "link")
