"""Staged backfills as a state machine: crashes anywhere, lost answers, failures, clears, edits, people who cancel.

The world raises when a rule is broken the moment it is: two jobs for one intent and generation, a done stage started
again, a POST that was not written down, a foreign backfill cancelled, a stage of the present wish cancelled.
`STAGED_MACHINE_EXAMPLES=20000` makes a soak of it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from planasonix.errors import PlanasonixError
from planasonix.runs import Policy, StagedOutcome
from planasonix.runs.staged.cancel import cancel_active
from planasonix.runs.staged.wish import HEADER
from tests.core.runs.staged.parts import Killed, staged
from tests.core.runs.staged.world import StagedWorld

EXAMPLES = int(os.environ.get("STAGED_MACHINE_EXAMPLES", "200"))

fates = st.lists(st.sampled_from(["ok", "ok", "lost_before", "lost_after"]), max_size=4)
crashes = st.none() | st.integers(0, 30)


class StagedMachine(RuleBasedStateMachine):
    """One book, one connection, an orchestrator that tries again, a user who clears and edits, other people."""

    @initialize(
        keys=st.sampled_from(["honoured", "ignored"]),
        echoes=st.booleans(),
        parallel=st.sampled_from([1, 2, 10]),
        at_a_time=st.sampled_from([1, 2, 3]),
        stop_after=st.sampled_from([None, 1, 2]),
    )
    def begin(self, keys: str, echoes: bool, parallel: int, at_a_time: int, stop_after: int | None) -> None:
        self.world = StagedWorld(keys=keys, echoes=echoes, parallel=parallel)
        self.told = "honoured" if keys == "honoured" else "unproven"
        self.options: dict[str, Any] = {"max_active_stages": at_a_time, "stop_after_failures": stop_after}
        self.days, self.tables, self.wish, self.attempt = 4, ("public.orders",), 1, 1

    def asked(self, **options: Any) -> Any:
        return staged(self.days, tables=self.tables, **{**self.options, **options})

    def advance(self, **options: Any) -> Any:
        return self.world.advance(
            self.asked(), intent=f"wish-{self.wish}", attempt=f"try-{self.attempt}", idempotency=self.told, **options
        )

    def outcome(self) -> StagedOutcome:
        return self.world.outcome(self.asked(), f"wish-{self.wish}")

    @rule(fates=fates, crash_at=crashes, inside=st.booleans())
    def advance_once(self, fates: list[str], crash_at: int | None, inside: bool) -> None:
        self.world.fates = list(fates)
        try:
            progress = self.advance(crash_at=crash_at, inside=inside)
        except (Killed, PlanasonixError):
            self.attempt += 1
        else:
            assert len(progress.active) <= self.options["max_active_stages"]
            if progress.ended and progress.failed:
                self.attempt += 1
        finally:
            self.world.fates = []

    @rule(
        data=st.data(),
        status=st.sampled_from(["completed", "completed", "failed", "cancelled"]),
        a_table_fails=st.booleans(),
    )
    @precondition(lambda self: self.world.live())
    def a_backfill_ends(self, data: Any, status: str, a_table_fails: bool) -> None:
        run = data.draw(st.sampled_from([run.id for run in self.world.live()]))
        if a_table_fails:
            self.world.broken.add(run)
        self.world.end(run, status)

    @rule(seconds=st.sampled_from([1.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(on_clear=st.sampled_from([None, "resume", "restart"]))
    def the_user_clears(self, on_clear: str | None) -> None:
        self.options["on_clear"] = on_clear
        self.wish += 1
        self.attempt += 1

    @rule(days=st.sampled_from([2, 4, 6]), tables=st.sampled_from([("public.orders",), ("public.orders", "a.b")]))
    def the_user_edits(self, days: int, tables: tuple[str, ...]) -> None:
        self.days, self.tables = days, tables
        self.attempt += 1

    @rule(crash_at=crashes)
    def the_user_gives_up(self, crash_at: int | None) -> None:
        with suppress(Killed, PlanasonixError):
            self.world.perform(_cancel(self.world), crash_at=crash_at)
        self.attempt += 1

    @rule()
    @precondition(lambda self: len(self.world.live()) < self.world.parallel)
    def somebody_else_starts_one(self) -> None:
        self.world.foreign()

    @invariant()
    def what_runs_and_is_ours_is_active_in_the_book(self) -> None:
        """No orphan: what the book ever knew to be ours is followed for as long as it runs."""
        if not hasattr(self, "world") or HEADER not in self.world.entries:
            return
        entries = {name: self.world.entries.get(name) for name in self.world.entries[HEADER]["active"]}
        followed = {entry["run_id"] for entry in entries.values() if entry and entry["ended_as"] is None}
        running = {run.id for run in self.world.live() if run.phase == "active"}
        assert running & self.world.owned <= followed

    def teardown(self) -> None:
        """With an API that behaves, it comes to its end: all that is asked for is loaded, and nothing runs."""
        if not hasattr(self, "world"):
            return
        self.world.end_all()
        for _ in range(60):
            progress = self.advance()
            if progress.ended and not progress.failed:
                break
            self.attempt += progress.ended
            if any(stage.error_code == "OutcomeUnknownError" for stage in self.outcome().stages):
                self.wish += 1  # as that error tells the user to do
            self.world.pass_time(1.0)
            self.world.end_all()
        else:
            raise AssertionError("it does not come to an end")
        assert progress.done == self.days
        assert self.outcome().status == "succeeded"
        assert not self.world.live()


def _cancel(world: StagedWorld) -> Any:
    return cancel_active(Policy(settle_seconds=0.5), lambda: world.now)


StagedMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestStagedMachine = StagedMachine.TestCase
