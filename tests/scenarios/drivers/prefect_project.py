"""The flows that hold the scenarios: one for each, served together, and those that look after suspended runs."""

from __future__ import annotations

from collections.abc import Sequence

from tests.scenarios.driver import Placed
from tests.scenarios.scenario import Scenario

BLOCK = "scenarios"
"""The name of the saved credentials: what looks after a run later has to load them."""

CLEANUP = "planasonix-cleanup/scenarios"
FILE, RECONCILER, RECONCILE_ONCE = "scenarios.py", "reconciler.py", "reconcile_once.py"

HEAD = f"""
import os

from prefect import flow, serve

from prefect_planasonix import PlanasonixBackfill, PlanasonixCredentials, PlanasonixSync
from prefect_planasonix.deferred import run_backfill_deferred, run_sync_deferred

WINDOW = {{"start_at": "2026-01-01T00:00:00+00:00", "end_at": "2026-04-01T00:00:00+00:00"}}


def load(kind, connection_id, is_deferred, settings):
    credentials = PlanasonixCredentials.load("{BLOCK}")
    window = WINDOW if kind == "backfill" else {{}}
    if is_deferred:
        deferred = run_backfill_deferred if kind == "backfill" else run_sync_deferred
        return deferred(credentials, connection_id, **window, **settings) and None
    job = PlanasonixBackfill if kind == "backfill" else PlanasonixSync
    block = job(credentials=credentials, connection_id=connection_id, poll_interval_seconds=0.5, **window, **settings)
    run = block.trigger()
    if run is not None:
        run.wait_for_completion()
        run.fetch_result()


"""

FLOW = """
@flow(name={name!r}, retries={retries}, retry_delay_seconds=1, timeout_seconds={timeout})
def {name}():
    load({kind!r}, {connection!r}, {is_deferred}, {settings!r})

"""

TAIL = """

if __name__ == "__main__":
    serve(*[one.to_deployment("scenarios") for one in ({flows})], limit=60)
"""

CLEANUP_SERVED = f"""
from prefect import serve
from prefect_planasonix.reconcile import cleanup

if __name__ == "__main__":
    serve(cleanup.to_deployment("{CLEANUP.split("/")[1]}"))
"""

LOOK_AFTER = f"""
import time

from prefect_planasonix.reconcile import reconcile

while True:
    reconcile(dry_run=False, credentials="{BLOCK}")
    time.sleep(3)
"""

ONCE = f"""
from prefect_planasonix.reconcile import reconcile

reconcile(dry_run=False, credentials="{BLOCK}", grace_seconds=0)
"""

PREPARE = f"""
import os
import sys

from prefect_planasonix import PlanasonixCredentials
from prefect_planasonix.automations import cleanup_on_cancel

PlanasonixCredentials(
    api_key=os.environ["PLANASONIX_API_KEY"], job_url_template=os.environ["PLANASONIX_JOB_URL_TEMPLATE"]
).save("{BLOCK}", overwrite=True)
for deployment in sys.argv[1:]:
    cleanup_on_cancel(deployment, "{CLEANUP}").create()
"""


def flow_name(scenario: Scenario, sibling: int) -> str:
    """The name of a scenario's flow, of one for each sibling where there are several."""
    name = "".join(letter if letter.isalnum() else "_" for letter in scenario.id)
    name = name if name.isidentifier() else f"with_{name}"
    return f"{name}_{sibling}" if scenario.wish.siblings > 1 else name


def source(placed: Sequence[Placed]) -> str:
    """A file that serves the flows of these scenarios."""
    flows = [
        (flow_name(one.scenario, sibling), one.scenario, connection)
        for one in placed
        for sibling, connection in enumerate(one.connections)
    ]
    texts = [
        FLOW.format(
            name=name,
            retries=scenario.wish.retries,
            timeout=scenario.wish.tool_timeout_seconds,
            kind=scenario.wish.kind,
            connection=connection,
            is_deferred=scenario.mode == "deferred",
            settings=_settings(scenario),
        )
        for name, scenario, connection in flows
    ]
    return HEAD + "\n".join(texts) + TAIL.format(flows=", ".join([*(name for name, _, _ in flows), ""]))


def _settings(scenario: Scenario) -> dict[str, object]:
    wish = scenario.wish
    settings: dict[str, object] = {} if wish.cancel_on_kill else {"cancel_on_cancellation": False}
    if scenario.exit == "evict worker":
        # What is said for deployments whose runs are tried again elsewhere: Prefect itself never does that.
        settings["on_shutdown"] = "leave"
    if wish.timeout_seconds is not None:
        settings["timeout_seconds"] = wish.timeout_seconds
    return settings
