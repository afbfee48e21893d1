"""Play one scenario: the steps are the same for every orchestrator, the driver knows how each is done there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from scripts.local.sandbox import SandboxProcess
from tests.scenarios.api import ACTIVE, Api, wait_until
from tests.scenarios.driver import Driver, Placed, Run
from tests.scenarios.scenario import Cleaner, TaskEnd

# A start may wait for all that is played beside it on a busy machine.
PATIENCE = 240.0
STARTING: frozenset[str] = frozenset({"starting", "posted"})
INTENT, GENERATION = "planasonix_intent", "planasonix_generation"


@dataclass(frozen=True)
class Seen:
    """What came of a scenario, in the words of `Expected`; `wrong` says what else is not as promised."""

    starts: int
    cancels: int
    jobs: tuple[str, ...]
    task: TaskEnd
    tries: int
    by: frozenset[Cleaner]
    seconds: float
    wrong: tuple[str, ...] = field(default=())


def play(driver: Driver, sandbox: SandboxProcess, placed: Placed) -> Seen:
    """Play it and return what was seen; raises when a step never comes to pass."""
    began = time.monotonic()
    apis = [Api(sandbox, connection_id) for connection_id in placed.connections]
    try:
        return _played(driver, placed, apis, began)
    finally:
        for api in apis:
            api.clean()


def _played(driver: Driver, placed: Placed, apis: list[Api], began: float) -> Seen:
    scenario = placed.scenario
    for api in apis:
        api.prepare(scenario)
    foreign = apis[0].start_foreign() if scenario.moment == "busy" else None
    run = driver.start(placed)
    try:
        return _after_start(driver, run, apis, foreign, began)
    except BaseException:
        driver.abandon(run)
        raise


def _after_start(driver: Driver, run: Run, apis: list[Api], foreign: str | None, began: float) -> Seen:
    placed, scenario, expected = run.placed, run.placed.scenario, run.placed.scenario.expected
    if foreign is not None:
        wait_until(
            lambda: [e for e in apis[0].entries("connections.sync") if e["status"] == 409], "a busy answer", PATIENCE
        )
        apis[0].finish({"id": foreign}, "succeeded")
    elif scenario.exit not in ("none", "tool's timeout", "our timeout"):
        _wait_for(driver, run, apis)
        if scenario.exit == "job cancelled":
            apis[0].finish(apis[0].jobs()[-1], "cancelled")
        else:
            driver.leave(run, scenario.exit, lambda: _wait_for_job(driver, run, apis))
    if expected.by == ("reconcile",):
        driver.end(run, expected.tries)
        driver.reconcile(run)
    if scenario.finish is not None:
        for sibling, api in enumerate(apis):
            # Of siblings the one that was left is to be cancelled; the others end well.
            if len(apis) == 1 or sibling != placed.sibling:
                _finish(api, scenario.finish)
    task = driver.end(run, expected.tries)
    _settle(apis, expected.jobs)
    jobs = [job for api in apis for job in api.jobs()]
    ours = [job for job in jobs if (job["metadata"] or {}).get(INTENT)]
    states = tuple(job["status"] for job in jobs)
    stopped = [job for job in ours if job["cancel_requested_at"]]
    shards = scenario.wish.kind == "backfill"
    return Seen(
        starts=len({job["backfill_id"] for job in ours}) if shards else len(ours),
        cancels=len({job["backfill_id"] for job in stopped}) if shards else len(stopped),
        jobs=tuple(sorted(set(states))) if shards else states,
        task=task,
        tries=driver.tries(run),
        by=frozenset(driver.cleaners(run)) or frozenset({"nobody"}),
        seconds=time.monotonic() - began,
        wrong=tuple(_wrong(driver, run, apis)),
    )


def _wait_for(driver: Driver, run: Run, apis: list[Api]) -> None:
    """Return at the moment at which the exit is to happen."""
    scenario = run.placed.scenario
    if scenario.moment == "posted":
        wait_until(apis[0].jobs, "the start request's effect", PATIENCE)
    elif scenario.moment in ("starting", "ended"):
        driver.until(run, scenario.moment, lambda: True)
    else:
        _wait_for_job(driver, run, apis)


def _wait_for_job(driver: Driver, run: Run, apis: list[Api]) -> None:
    scenario = run.placed.scenario
    for api in apis:
        wait_until(api.jobs, f"a job of {api.connection_id}", PATIENCE)
    before = [api.looks(scenario) for api in apis]

    def looked() -> bool:
        return all(api.looks(scenario) > was for api, was in zip(apis, before, strict=True))

    driver.until(run, "waiting", looked)
    if scenario.wish.kind == "sync":
        # A job is read before it is waited for, and the link pushed between the two.
        for sibling in range(len(apis)):
            wait_until(lambda sibling=sibling: driver.shown_link(run, sibling), "the link of the running job", 30)


def _finish(api: Api, outcome: str) -> None:
    last = wait_until(api.jobs, f"a job of {api.connection_id}")[-1]
    if last["status"] in ACTIVE:
        api.finish(last, outcome)


def _settle(apis: list[Api], expected: tuple[str, ...]) -> None:
    """Give what was asked to stop the time to do so; what must go on is looked at a little later than at once."""
    deadline = time.monotonic() + 45
    wanted = sum(expected.count(word) for word in ("cancelled",))
    while time.monotonic() < deadline:
        states = [job["status"] for api in apis for job in api.jobs()]
        if (
            "cancelling" not in states
            and states.count("cancelled") >= wanted
            and ("running" in expected or not set(states) & ACTIVE)
        ):
            break
        time.sleep(0.3)
    time.sleep(1.0)


def _wrong(driver: Driver, run: Run, apis: list[Api]) -> list[str]:
    """Both ways of the metadata, what the log must tell, faults that never struck, pauses that were not kept."""
    scenario = run.placed.scenario
    expected = scenario.expected
    found: list[str] = []
    for sibling, api in enumerate(apis):
        ours = [job for job in api.jobs() if (job["metadata"] or {}).get(INTENT)]
        for job in ours:
            wanted = driver.provenance(run, sibling)
            differs = {name: job["metadata"].get(name) for name in wanted if job["metadata"].get(name) != wanted[name]}
            if differs or GENERATION not in job["metadata"]:
                found.append(f"{job['id']} says {differs} instead of {wanted}")
        if ours and ours[-1]["status"] == "succeeded":
            found += _wrongly_told(driver, run, sibling, ours[-1])
        if ours and scenario.wish.kind == "sync" and not (scenario.moment in STARTING and expected.task == "failed"):
            link = driver.shown_link(run, sibling)
            if not (link or "").endswith(ours[-1]["id"]):
                found.append(f"the link shown is {link}")
        found += [f"the fault on {operation} struck nothing" for operation in api.faults_not_struck()]
    log = driver.log(run)
    found += [f"the log does not say {text!r}" for text in expected.says if text not in log]
    if expected.pause_seconds is not None:
        pause = apis[0].closest_read_after_refusal()
        if pause is None or pause < expected.pause_seconds:
            found.append(f"a read came {pause} s after a refusal")
    return found


def _wrongly_told(driver: Driver, run: Run, sibling: int, job: dict[str, Any]) -> list[str]:
    told = driver.told(run, sibling)
    tables = {table["name"]: (table["rows_loaded"], table["checksum"]) for table in job["tables"]}
    if told is None or told.id != job["id"]:
        return [f"told of {told and told.id} instead of {job['id']}"]
    if told.tables != tables or told.rows != sum(rows for rows, _ in tables.values()):
        return [f"told {told.rows} rows, {told.tables} instead of {tables}"]
    return [] if (told.link or "").endswith(job["id"]) else [f"told the link {told.link}"]
