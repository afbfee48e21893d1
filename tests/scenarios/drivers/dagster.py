"""The scenarios in Dagster: a job for each, in real processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from scripts.dagster_local import CheckEvent, Event, LocalDagster
from scripts.dagster_local.reading import FINAL
from scripts.local import proc
from tests.scenarios.driver import Placed, Run, Told
from tests.scenarios.drivers.dagster_cells import LANDING, NOT_APPLICABLE, WORDS
from tests.scenarios.drivers.dagster_project import STEP, job_name
from tests.scenarios.scenario import Cleaner, Differs, Exit, Mode, Moment, TaskEnd

PATIENCE = 300.0
ENDS: dict[str, TaskEnd] = {"SUCCESS": "succeeded", "FAILURE": "failed", "CANCELED": "failed"}
LEDGER = "planasonix/ledger"
GRACE_SECONDS = 30.0
# The sentences with which each of them says that it cancelled.
SENTENCES: tuple[tuple[Cleaner, str], ...] = (
    ("next try", "of the earlier run of this task is still running: cancelling it first"),
    ("worker", "was cancelled (it is"),
    # A backfill whose jobs end one by one.
    ("worker", "was asked to stop and is"),
)


class DagsterDriver:
    """Drives one `LocalDagster` whose processes find the sandbox in their environment."""

    name: ClassVar[str] = "Dagster"
    words: ClassVar[Mapping[str, str]] = WORDS
    not_applicable: ClassVar[Mapping[tuple[str, Mode], str]] = NOT_APPLICABLE
    landing: ClassVar[frozenset[tuple[str, Mode]] | None] = LANDING
    differs: ClassVar[Mapping[tuple[str, Mode], Differs]] = {}

    def __init__(self, dagster: LocalDagster, install: Callable[[Sequence[Placed]], None]) -> None:
        self.dagster = dagster
        self._install = install

    # --- tasks -----------------------------------------------------------------------------------------------------

    def install(self, placed: Sequence[Placed]) -> None:
        self._install(placed)

    def start(self, placed: Placed) -> Run:
        """One run, or one for each sibling: Dagster's siblings are runs beside one another."""
        wish = placed.scenario.wish
        tags = {"dagster/max_retries": str(wish.retries)}
        if wish.tool_timeout_seconds is not None:
            tags["dagster/max_runtime"] = str(int(wish.tool_timeout_seconds))
        jobs = [job_name(placed.scenario, sibling) for sibling in range(wish.siblings)]
        run_ids = [self.dagster.launch_job(job, tags=tags, config=_config(placed)) for job in jobs]
        return Run(placed, run_ids[placed.sibling], {"roots": run_ids, "try": 1})

    def until(self, run: Run, moment: Moment, looked: Callable[[], bool]) -> None:
        if moment == "ended":
            self.dagster.wait_run(run.key, "SUCCESS", timeout_seconds=PATIENCE)
            if _detached(run):
                self._wait(lambda: self._told_of(run, run.placed.sibling), "the sensor to tell", run)
        elif moment == "starting":
            self._wait(lambda: self._sent(run), "the ledger to be written", run)
            self.dagster.step_worker(run.key)
        else:
            for sibling, _ in enumerate(run.notes["roots"]):
                self._wait(lambda sibling=sibling: self._tries(run, sibling) >= run.notes["try"], "the step", run)
            self._wait(looked, "a look at the job", run)

    # --- ways out --------------------------------------------------------------------------------------------------

    def leave(self, run: Run, way: Exit, again: Callable[[], None]) -> None:
        act: dict[str, Callable[[Run], None]] = {
            "user kill": lambda run: self.dagster.terminate(run.key),
            "mark failed": lambda run: self.dagster.terminate(run.key, force=True),
            "evict worker": self._evict,
            "kill worker": lambda run: self.dagster.kill(self.dagster.step_worker(run.key)),
            "lose machine": lambda run: self.dagster.kill(*self.dagster.workers(run.key)),
            "again after success": self._again,
        }
        act[way](run)
        if way in ("evict worker", "kill worker", "lose machine"):
            run.notes["try"] = 2
        if run.placed.scenario.finish is not None and run.placed.scenario.wish.siblings == 1:
            again()

    def _evict(self, run: Run) -> None:
        """A drained node tells the main process of its container, and ends the rest once its grace is over."""
        pids = self.dagster.workers(run.key)
        self.dagster.kill(pids[0], sig=signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(map(proc.read, pids)) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.dagster.kill(*pids)

    def _again(self, run: Run) -> None:
        run.key = self.dagster.reexecute(run.key, "ALL_STEPS")
        run.notes["try"] = 2

    # --- reading back ----------------------------------------------------------------------------------------------

    def end(self, run: Run, tries: int) -> TaskEnd:
        sibling = run.placed.sibling

        def ended() -> str | None:
            last = self._group(run, sibling)[-1]
            over = last["status"] in FINAL and self._tries(run, sibling) >= tries
            return last["status"] if over else None

        status = self._wait(ended, f"the end of try {tries}", run)
        for run_id in self._run_ids(run):
            # A worker whose run was ended lives on for seconds, and might still call the API.
            self._wait(lambda run_id=run_id: not self.dagster.workers(run_id), "the workers to end", run)
        if _detached(run) and ENDS[status] == "succeeded":
            return self._wait(lambda: self._told_of(run, sibling), "the sensor to tell", run)
        return ENDS[status]

    def tries(self, run: Run) -> int:
        return self._tries(run, run.placed.sibling)

    def log(self, run: Run) -> str:
        sibling = run.placed.sibling
        logs = [self.dagster.run_log(one["runId"]) for one in self._group(run, sibling)]
        # What a detached run cannot say any more, the sensor does.
        if _detached(run):
            logs += [str(one) for one in self._checks(run, sibling)]
            logs += [str(one) for key in self._keys(run, sibling) for one in self.dagster.observations(key, 1)]
        return "\n".join(logs)

    def cleaners(self, run: Run) -> set[Cleaner]:
        log = self.log(run)
        return {who for who, sentence in SENTENCES if sentence in log}

    def provenance(self, run: Run, sibling: int) -> dict[str, Any]:
        root = run.notes["roots"][sibling]
        job = job_name(run.placed.scenario, sibling)
        found: dict[str, Any] = {
            "orchestrator": "dagster",
            "triggered_by": f"dagster_job_{job}",
            "job_name": job,
            "step_key": f"{STEP}{job}",
            "root_run_id": root,
        }
        group = self._group(run, sibling)
        if len(group) == 1:
            found |= {"run_id": root, "link": f"{self.dagster.url}/runs/{root}"}
        return found

    def told(self, run: Run, sibling: int) -> Told | None:
        if _detached(run):
            found = [self.dagster.materializations(key, 1) for key in self._keys(run, sibling)]
            made = [events[0].metadata for events in found if events]
        else:
            last = self._group(run, sibling)[-1]["runId"]
            made = [event.metadata for event in self.dagster.events(last, "ASSET_MATERIALIZATION")]
        if not made:
            return None
        # An earlier try of the same run may have loaded tables too, before its job failed.
        newest = made[-1]["planasonix/job_id"]
        told = [entry for entry in made if entry["planasonix/job_id"] == newest]
        loaded = [entry for entry in told if entry.get("planasonix/table_state") != "no_change"]
        tables = {
            entry["dagster/table_name"]: (entry["dagster/row_count"], entry.get("planasonix/checksum"))
            for entry in loaded
        }
        rows = sum(count for count, _ in tables.values())
        return Told(newest, rows, tables, told[0].get("planasonix/job_url"))

    def shown_link(self, run: Run, sibling: int) -> str | None:
        """Of the newest entry of the ledger, which the step logs as soon as the job is there."""
        links = [event.metadata.get("planasonix/job_url") for event in self._entries(run, sibling)]
        return next((link for link in reversed(links) if link), None)

    def abandon(self, run: Run) -> None:
        for run_id in self._run_ids(run):
            if self.dagster.run_status(run_id) not in FINAL:
                self.dagster.terminate(run_id, force=True)

    def reconcile(self, run: Run) -> None:
        raise NotImplementedError(f"no cell of Dagster's needs reconcile: {run.placed.scenario.id}")

    # --- detached: what the sensor tells -----------------------------------------------------------------------------

    def _told_of(self, run: Run, sibling: int) -> TaskEnd | None:
        """How the newest job of the wish ended, by the events of its tables; None while nothing is told of it."""
        newest = next((job for job in reversed(self._jobs(run, sibling)) if job), None)
        # A job that failed may have loaded some tables: each table's own check says whether it was.
        found = [one for one in self._checks(run, sibling) if one.metadata.get("planasonix/job_id") == newest]
        if len(found) < len(self._keys(run, sibling)):
            return None
        return "succeeded" if all(one.passed for one in found) else "failed"

    def _checks(self, run: Run, sibling: int) -> list[CheckEvent]:
        return [one for key in self._keys(run, sibling) for one in self.dagster.checks(key, "planasonix_status", 1)]

    def _keys(self, run: Run, sibling: int) -> list[str]:
        """The assets of one sibling, as the run names them."""
        planned = self.dagster.events(run.notes["roots"][sibling], "ASSET_MATERIALIZATION_PLANNED")
        return [event.asset_key for event in planned if event.asset_key]

    def _jobs(self, run: Run, sibling: int) -> list[str | None]:
        return [event.metadata.get("planasonix/job_id") for event in self._entries(run, sibling)]

    # --- details ---------------------------------------------------------------------------------------------------

    def _wait(self, probe: Callable[[], Any], what: str, run: Run) -> Any:
        return self.dagster.wait_until(probe, what, PATIENCE, run.key, every_seconds=1.0)

    def _group(self, run: Run, sibling: int) -> list[dict[str, Any]]:
        """The run of one sibling and its re-executions, oldest first."""
        return self.dagster.run_group(run.notes["roots"][sibling])

    def _run_ids(self, run: Run) -> list[str]:
        return [one["runId"] for sibling, _ in enumerate(run.notes["roots"]) for one in self._group(run, sibling)]

    def _tries(self, run: Run, sibling: int) -> int:
        kinds = ("STEP_START", "STEP_RESTARTED")
        return sum(len(self.dagster.events(one["runId"], *kinds)) for one in self._group(run, sibling))

    def _entries(self, run: Run, sibling: int) -> list[Event]:
        seen = [
            event
            for one in self._group(run, sibling)
            for event in self.dagster.events(one["runId"], "ASSET_OBSERVATION")
        ]
        return [event for event in seen if LEDGER in event.metadata]

    def _sent(self, run: Run) -> bool:
        return any(event.metadata[LEDGER]["entry"].get("sent_at") for event in self._entries(run, run.placed.sibling))


def _detached(run: Run) -> bool:
    return run.placed.scenario.mode == "deferred"


def _config(placed: Placed) -> dict[str, Any]:
    if placed.scenario.wish.kind == "sync":
        return {}
    window = {"start_at": "2026-01-01T00:00:00+00:00", "end_at": "2026-04-01T00:00:00+00:00"}
    return {"ops": {f"{STEP}{job_name(placed.scenario, 0)}": {"config": window}}}
