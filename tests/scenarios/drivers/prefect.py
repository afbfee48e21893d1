"""The scenarios in Prefect: a served flow for each, in real processes."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from scripts.local import proc
from scripts.local.components import Component
from scripts.prefect_local import LocalPrefect
from scripts.prefect_local.reading import FINAL
from tests.scenarios.driver import Placed, Run, Told
from tests.scenarios.drivers.prefect_cells import DIFFERS, LANDING, NOT_APPLICABLE, WORDS
from tests.scenarios.drivers.prefect_ledger import ledger_of
from tests.scenarios.drivers.prefect_project import CLEANUP, ONCE, RECONCILE_ONCE, RECONCILER, flow_name
from tests.scenarios.scenario import Cleaner, Differs, Exit, Mode, Moment, TaskEnd

PATIENCE = 300.0
GRACE_SECONDS = 30.0
# A busy server takes what a process logs at its end some seconds later.
LATE_LOG_SECONDS = 20.0
ENDS: dict[str, TaskEnd] = {"COMPLETED": "succeeded", "FAILED": "failed", "CRASHED": "failed", "CANCELLED": "failed"}
RUNNING = ("Running", "Retrying")
LINK = re.compile(r"\]\((.*)\)")
# Of a backfill whose jobs end one by one, the second.
CANCELLED = re.compile(r"was (cancelled \(it is|asked to stop and is)")
EARLIER_RUN = "of the earlier run of this task is still running: cancelling it first"


class PrefectDriver:
    """Drives one `LocalPrefect` that serves the scenarios' flows.

    install: writes and serves them. own_serve: the process that serves a scenario's flow alone, if one does.
    reconciler: the process that looks after suspended runs.
    """

    name: ClassVar[str] = "Prefect"
    words: ClassVar[Mapping[str, str]] = WORDS
    not_applicable: ClassVar[Mapping[tuple[str, Mode], str]] = NOT_APPLICABLE
    landing: ClassVar[frozenset[tuple[str, Mode]] | None] = LANDING
    differs: ClassVar[Mapping[tuple[str, Mode], Differs]] = DIFFERS

    def __init__(self, prefect: LocalPrefect, install: Callable[[Sequence[Placed]], None]) -> None:
        self.prefect = prefect
        self._install = install
        self.own_serve: dict[str, Component] = {}
        self.reconciler: Component | None = None

    # --- tasks -----------------------------------------------------------------------------------------------------

    def install(self, placed: Sequence[Placed]) -> None:
        self._install(placed)

    def start(self, placed: Placed) -> Run:
        """One flow run, or one for each sibling: Prefect's siblings are flow runs beside one another."""
        names = [flow_name(placed.scenario, sibling) for sibling in range(placed.scenario.wish.siblings)]
        ids = [self.prefect.start_run(self.prefect.deployment_id(f"{name}/scenarios")) for name in names]
        return Run(placed, ids[placed.sibling], {"runs": [[one] for one in ids], "try": 1})

    def until(self, run: Run, moment: Moment, looked: Callable[[], bool]) -> None:
        if moment == "ended":
            self.prefect.wait_run(run.key, "Completed", timeout_seconds=PATIENCE)
        elif moment == "starting":
            self._wait(lambda: self._sent(run), "the ledger to be written", run)
            self.prefect.flow_process(run.key)
        else:
            wanted = ("Suspended",) if _deferred(run) else RUNNING
            for sibling, ids in enumerate(run.notes["runs"]):
                tries = run.notes["try"] if sibling == run.placed.sibling else 1
                self._wait(
                    lambda flow_run=ids[-1], sibling=sibling, tries=tries: (
                        self._tries(run, sibling) >= tries and self.prefect.state(flow_run) in wanted
                    ),
                    "the flow run to wait",
                    run,
                )
            self._wait(looked, "a look at the job", run)

    # --- ways out --------------------------------------------------------------------------------------------------

    def leave(self, run: Run, way: Exit, again: Callable[[], None]) -> None:
        act: dict[str, Callable[[Run], object]] = {
            "user kill": lambda run: self.prefect.cancel(run.key),
            "mark failed": lambda run: self.prefect.cancel(run.key, force=True),
            "evict worker": self._evict,
            "kill worker": lambda run: self.prefect.kill(self._process(run)),
            "lose machine": self._lose_machine,
            "again after success": self._again,
            "waiters killed": self._kill_reconciler,
            "waiters restarted": self._restart_reconciler,
            "waiters down": self._cancel_unseen,
            "two waiters": self._freeze_reconciler,
        }
        act[way](run)
        if way in ("evict worker", "kill worker", "lose machine"):
            # Prefect retries what failed, not what crashed: the user does, with the run's button.
            self.prefect.wait_run(run.key, "Crashed", timeout_seconds=PATIENCE)
            self.prefect.retry(run.key)
            run.notes["try"] = 2
        if run.placed.scenario.finish is not None and run.placed.scenario.wish.siblings == 1:
            again()

    def _evict(self, run: Run) -> None:
        """A drained node tells the main process of its container, and ends the rest once its grace is over."""
        pids = self.prefect.flow_processes(run.key)
        self.prefect.kill(self._process(run), sig=signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(map(proc.read, pids)) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.prefect.kill(*pids)

    def _lose_machine(self, run: Run) -> None:
        """Nobody is left to say so: the run stays Running until the automation for dead runs calls it crashed."""
        serving = self.own_serve[run.placed.scenario.id]
        self.prefect.lose_machine(serving)
        self.prefect.set_state(run.key, "CRASHED", "Crashed", force=True)
        serving.start()

    def _again(self, run: Run) -> None:
        again = self.start(run.placed)
        run.key = again.key
        run.notes["runs"][run.placed.sibling].append(again.key)
        run.notes["try"] = 2

    def _kill_reconciler(self, _: Run) -> None:
        self._reconciler.restart()

    def _restart_reconciler(self, _: Run) -> None:
        self._reconciler.terminate()
        self._reconciler.start()

    def _cancel_unseen(self, run: Run) -> None:
        """No automation cleans up after this flow's runs, and the reconciler is away."""
        self._reconciler.kill()
        self.prefect.cancel(run.key)

    def _freeze_reconciler(self, _: Run) -> None:
        frozen = self._reconciler
        proc.kill(frozen.pid, signal.SIGSTOP)
        second = self.prefect.run_file(RECONCILER, "reconciler-2")
        time.sleep(10)
        proc.kill(frozen.pid, signal.SIGCONT)
        time.sleep(5)
        second.kill()

    # --- reading back ----------------------------------------------------------------------------------------------

    def end(self, run: Run, tries: int) -> TaskEnd:
        sibling = run.placed.sibling

        def ended() -> str | None:
            kind = self.prefect.state_type(run.notes["runs"][sibling][-1])
            return kind if kind in FINAL and self._tries(run, sibling) >= tries else None

        for ids in run.notes["runs"]:
            self._wait(lambda ids=ids: self.prefect.state_type(ids[-1]) in FINAL, "a sibling's end", run)
        kind = self._wait(ended, f"the end of try {tries}", run)
        for ids in run.notes["runs"]:
            # A process whose run was cancelled lives on for seconds, and might still call the API.
            self._wait(lambda ids=ids: not self.prefect.flow_processes(ids[-1]), "the processes to end", run)
        if kind == "CANCELLED" and run.placed.scenario.expected.by == ("waiter",):
            self._wait(lambda: self._cleanups(run), "the cleanup", run)
        return ENDS[kind]

    def tries(self, run: Run) -> int:
        return self._tries(run, run.placed.sibling)

    def log(self, run: Run) -> str:
        return "\n".join(self.prefect.log(one) for one in run.notes["runs"][run.placed.sibling])

    def cleaners(self, run: Run) -> set[Cleaner]:
        deadline = time.monotonic() + LATE_LOG_SECONDS
        while True:
            found = self._cleaners(run)
            if found or "nobody" in run.placed.scenario.expected.by or time.monotonic() > deadline:
                return found
            time.sleep(1.0)

    def _cleaners(self, run: Run) -> set[Cleaner]:
        found: set[Cleaner] = set(run.notes.get("cleaners", ()))
        log = self.log(run)
        if EARLIER_RUN in log:
            found.add("next try")
        if CANCELLED.search(log):
            found.add("worker")
        if any(CANCELLED.search(self.prefect.log(one)) for one in self._cleanups(run)):
            found.add("waiter")
        return found

    def provenance(self, run: Run, sibling: int) -> dict[str, Any]:
        name = flow_name(run.placed.scenario, sibling)
        found: dict[str, Any] = {
            "orchestrator": "prefect",
            "triggered_by": f"prefect_flow_{name}",
            "flow_name": name,
        }
        ids = run.notes["runs"][sibling]
        if len(ids) == 1:
            flow_run = self.prefect.run(ids[0])
            found |= {
                "flow_run_id": ids[0],
                "flow_run_name": flow_run["name"],
                "deployment_id": flow_run["deployment_id"],
                "link": f"{self.prefect.url}/runs/flow-run/{ids[0]}",
            }
        return found

    def told(self, run: Run, sibling: int) -> Told | None:
        """By the table at the end of the newest job."""
        ids = run.notes["runs"][sibling]
        found = self.prefect.artifacts(ids[-1], "planasonix-tables-")
        if not found:
            return None
        words = found[-1]["description"].split()
        tables = {one["table"]: (one["rows"], one["checksum"]) for one in _json(found[-1]["data"])}
        return Told(words[2], sum(rows for rows, _ in tables.values()), tables, self.shown_link(run, sibling))

    def shown_link(self, run: Run, sibling: int) -> str | None:
        """Of the newest link artifact, which is written as soon as the job is there."""
        found = self.prefect.artifacts(run.notes["runs"][sibling][-1], "planasonix-link-")
        links = [match.group(1) for one in found if (match := LINK.search(one["data"]))]
        return next(reversed(links), None)

    def abandon(self, run: Run) -> None:
        for ids in run.notes["runs"]:
            for one in ids:
                if self.prefect.state_type(one) not in FINAL:
                    self.prefect.cancel(one, force=True)
                self.prefect.kill(*self.prefect.flow_processes(one))

    def reconcile(self, run: Run) -> None:
        """One pass at once: the process beside waits a minute for a run to clean up itself."""
        self.prefect.write(RECONCILE_ONCE, ONCE)
        self.prefect.run_to_end(RECONCILE_ONCE, "reconcile-once")
        if CANCELLED.search((self.prefect.home / "logs" / "reconcile-once.log").read_text()):
            run.notes["cleaners"] = {"reconcile"}
        self._reconciler.start()

    # --- details ---------------------------------------------------------------------------------------------------

    @property
    def _reconciler(self) -> Component:
        assert self.reconciler is not None
        return self.reconciler

    def _wait(self, probe: Callable[[], Any], what: str, run: Run) -> Any:
        return self.prefect.wait_until(probe, what, PATIENCE, run.key, every_seconds=1.0)

    def _process(self, run: Run) -> int:
        return self.prefect.flow_process(run.key)

    def _tries(self, run: Run, sibling: int) -> int:
        """Tries of all runs of one sibling; what goes on after it was suspended is the same try."""
        return sum(_tries_of(self.prefect.states(one)) for one in run.notes["runs"][sibling])

    def _sent(self, run: Run) -> bool:
        return any(entry["record"].get("sent_at") for entry in ledger_of(self.prefect, run.key))

    def _cleanups(self, run: Run) -> list[str]:
        """The ended runs of the cleanup that an automation started for this flow run."""
        if not _deferred(run):
            return []
        found = self.prefect.runs(deployment_id=self.prefect.deployment_id(CLEANUP))
        return [
            one["id"]
            for one in found
            if run.key in str(one["parameters"].get("flow_run_id")) and one["state"]["type"] in FINAL
        ]


def _tries_of(states: Sequence[str]) -> int:
    tries, is_resumed = 0, False
    for state in states:
        if state in RUNNING:
            tries += not is_resumed
            is_resumed = False
        elif state == "Resuming":
            is_resumed = True
    return tries


def _deferred(run: Run) -> bool:
    return run.placed.scenario.mode == "deferred"


def _json(data: Any) -> Any:
    return json.loads(data) if isinstance(data, str) else data
