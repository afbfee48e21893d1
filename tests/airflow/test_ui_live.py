"""Airflow's own pages in a real browser: the connection form, and the button from a task to its job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from airflow_provider_planasonix.get_provider_info import get_provider_info

# Airflow's pages are large, and a browser beside it leaves a small machine little.
pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

FORM = get_provider_info()["connection-types"][0]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PATIENCE_MS = 60_000
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
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 1900})
    opened.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield opened
    opened.context.close()


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def extra(page: Page, name: str) -> Any:
    return page.locator(f"[name=element_{name}]")


def test_the_connection_form(world: Any, page: Page) -> None:
    secret, proxy = world.sandbox.api_key, "http://someone:hunter2-canary@127.0.0.1:9"
    page.goto(f"{world.airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    page.locator("input[name=connection_id]").fill("from_the_form")
    page.get_by_role("combobox").last.fill("Planasonix")
    page.get_by_role("option", name="Planasonix", exact=True).click()

    for label in FORM["ui-field-behaviour"]["relabeling"].values():
        expect(page.get_by_text(label, exact=True)).to_be_visible()
    for field in FORM["ui-field-behaviour"]["hidden-fields"]:
        expect(page.locator(f"input[name={field}]")).to_have_count(0)
    for field, text in FORM["ui-field-behaviour"]["placeholders"].items():
        expect(page.locator(f"input[name={field}]")).to_have_attribute("placeholder", text)
    expect(page.locator("input[name=password]")).to_have_attribute("type", "password")
    page.locator("input[name=host]").fill(world.sandbox.url)
    page.locator("input[name=password]").fill(secret)
    shot(page, "form-standard")

    page.get_by_role("button", name="Extra Fields", exact=True).click()
    for field in FORM["conn-fields"].values():
        expect(page.get_by_text(field["label"], exact=True)).to_be_visible()
        expect(page.get_by_text(field["description"], exact=True)).to_be_visible()
    expect(extra(page, "proxy")).to_have_attribute("type", "password")
    extra(page, "organization_id").fill("org_01jq8acme")
    extra(page, "proxy").fill(proxy)
    shot(page, "form-extra")
    page.get_by_role("button", name="Save").click()

    # Kept, and shown to nobody.
    row = page.get_by_role("row").filter(has_text="from_the_form")
    expect(row).to_be_visible()
    shot(page, "connections")
    kept = world.airflow.rest.get("/connections/from_the_form")
    assert (kept["conn_type"], kept["host"], kept["password"]) == ("planasonix", world.sandbox.url, "***")
    assert '"organization_id": "org_01jq8acme"' in kept["extra"]
    assert '"proxy": "***"' in kept["extra"]
    row.get_by_role("button", name="Edit Connection").click()
    expect(page.locator("input[name=host]")).to_have_value(world.sandbox.url)
    expect(page.locator("input[name=password]")).to_have_attribute("type", "password")
    shot(page, "form-again")
    assert secret not in page.content()
    assert "hunter2-canary" not in page.content()
    # Masks that come back from the form do not become the secrets.
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    tested = world.airflow.rest.post("/connections/test", kept | {"extra": "{}"})
    assert tested["status"], tested
    assert "Acme Analytics" in tested["message"]


@pytest.mark.parametrize(
    ("deferrable", "ends"),
    [
        pytest.param(True, None, id="deferred"),
        pytest.param(True, "failed", id="failed", marks=pytest.mark.scenario),
        pytest.param(False, None, id="running", marks=pytest.mark.scenario),
    ],
)
def test_the_button_opens_the_page_of_the_job(world: Any, page: Page, deferrable: bool, ends: str | None) -> None:
    world.script(outcome="stuck")
    run = world.sync(deferrable=deferrable, extra="retries=0" if ends else "")
    world.waiting(run, deferrable=deferrable)
    job = world.wait_for_job()
    if ends:
        world.finish(job, ends)
        assert world.airflow.wait_run(run) == ends
    page.goto(f"{world.airflow.url}/dags/{run.dag_id}/runs/{quote(run.run_id)}/tasks/sync/details")
    button = page.get_by_role("link", name="Planasonix job")
    expect(button).to_be_visible()
    shot(page, f"task-{ends or ('deferred' if deferrable else 'running')}")
    with page.context.expect_page() as opened:
        button.click()
    job_page = opened.value
    expect(job_page).to_have_url(f"{world.sandbox.url}/#/jobs/{job['id']}")
    expect(job_page.get_by_text(job["id"]).first).to_be_visible()
    shot(job_page, f"job-{ends or ('deferred' if deferrable else 'running')}")
    if not ends:
        assert world.airflow.database.task(run, "sync").state == ("deferred" if deferrable else "running")
        world.finish(job)
        assert world.airflow.wait_run(run) == "success"
