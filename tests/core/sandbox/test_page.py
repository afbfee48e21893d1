"""The live page in a real browser."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from planasonix.sandbox import Sandbox, VirtualClock

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
CONTRASTS = r"""() => {
  const channel = value => value / 255 <= .03928 ? value / 255 / 12.92 : ((value / 255 + .055) / 1.055) ** 2.4;
  const parse = text => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("td, th, dt, dd, h1, h2, small, a, .pill, #link")].map(node => {
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    return [(a + .05) / (b + .05), node.textContent.slice(0, 30)];
  });
}"""
NASTY = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    assert path, "this test drives chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


def is_problem(message):
    # Chromium reports every 404; asking for a job that does not exist is part of a test.
    return message.type == "error" and "job_none" not in (message.location or {}).get("url", "")


def is_local(url):
    return url.startswith(("http://127.0.0.1:", "data:"))


@pytest.fixture
def served():
    with Sandbox(clock=VirtualClock.manual()).serve() as running:
        yield running


@pytest.fixture
def page(browser, served):
    # It needs the sandbox, so that it closes first: a page left polling a stopped one would report errors.
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    problems = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if is_problem(message) else None)
    opened.on("request", lambda request: None if is_local(request.url) else problems.append(request.url))
    yield opened
    opened.close()
    assert problems == []


def test_jobs_and_backfills_are_followed_live(page, served, caller):
    call = caller(served.sandbox)
    page.goto(served.url)
    jobs = page.locator("[data-part=jobs]")
    expect(jobs).to_contain_text("No job yet")
    expect(page.locator("[data-part=connections] tbody tr")).to_have_count(21)
    served.script("conn_shop_orders", duration_seconds=100, queue_seconds=0)
    _, job = call.sync(body={"metadata": {"orchestrator": "airflow", "dag_id": NASTY}})
    call.backfill()
    served.advance(50)
    row = jobs.locator("tr", has_text=job["id"])
    expect(row).to_contain_text("running")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "50")
    expect(row).to_contain_text(NASTY)
    expect(page.locator("[data-part=backfills]").get_by_role("progressbar")).to_have_attribute("value", "50")
    expect(page.locator("[data-part=calls]")).to_contain_text("connections.sync")
    served.advance(60)
    expect(row).to_contain_text("succeeded")
    assert page.title() == "Planasonix sandbox"


def test_the_job_url_template_opens_the_job(page, served, caller):
    call = caller(served.sandbox)
    _, job = call.sync("conn_legacy_mainframe", {"metadata": {"dag_id": "nightly", "note": NASTY}}, key="intent-1")
    served.advance(60)
    page.goto(served.job_url_template.format(kind="job", id=job["id"]))
    details = page.locator("[data-part=job]")
    for text in (job["id"], "failed", "nightly", NASTY, "intent-1", "source_authentication_failed", "core.policies"):
        expect(details).to_contain_text(text)
    expect(details.locator("tr", has_text="core.policies")).to_contain_text("not loaded")
    page.get_by_role("link", name="All jobs").click()
    page.get_by_role("link", name=job["id"]).click()
    expect(details).to_contain_text("nightly")
    page.goto(served.url + "/#/jobs/job_none")
    expect(page.locator("main")).to_contain_text("No such job")


def test_a_lost_sandbox_is_said(browser):
    opened = browser.new_page()
    running = Sandbox().serve()
    opened.goto(running.url)
    expect(opened.locator("#link")).to_have_text("live")
    running.stop()
    expect(opened.locator("#link")).to_contain_text("connection lost")
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_have_contrast(browser, served, caller, scheme):
    caller(served.sandbox).sync()
    opened = browser.new_page(color_scheme=scheme)
    opened.goto(served.url)
    opened.wait_for_selector("[data-part=jobs] tbody tr")
    ratios = opened.evaluate(CONTRASTS)
    assert ratios
    assert [entry for entry in ratios if entry[0] < 4.5] == []
    opened.close()


def test_a_backfill_has_a_page_too(page, served, caller):
    _, backfill = caller(served.sandbox).backfill("conn_billing_stripe", metadata={"reason": "replay"})
    page.goto(served.job_url_template.format(kind="backfill", id=backfill["id"]))
    part = page.locator('[data-part="backfill"]')
    part.wait_for()
    text = part.inner_text()
    assert backfill["id"] in text
    assert "replay" in text
    assert part.locator("a[href^='#/jobs/']").count() >= 2


def test_a_pipeline_run_is_listed_and_has_a_page(page, served, caller):
    served.script("pl_daily_revenue", "failed", failed_node="n_join")
    _, run = caller(served.sandbox).post("/api/pipelines/pl_daily_revenue/run", {"variables": {"note": NASTY}})
    served.advance(60)
    page.goto(served.url)
    row = page.locator("[data-part=runs] tr", has_text=run["runId"])
    expect(row).to_contain_text("failed")
    expect(row).to_contain_text("daily_revenue")
    row.get_by_role("link").click()
    part = page.locator("[data-part=run]")
    for text in (run["runId"], NASTY, "n_join", "source_unavailable", "Started transform.join"):
        expect(part).to_contain_text(text)
    page.goto(served.job_url_template.format(kind="run", id="job_none"))
    expect(page.locator("main")).to_contain_text("No such run")
