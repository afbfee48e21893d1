"""Start and ledger as a state machine: whatever the API, the line and the process do, one wish is one job.

`START_MACHINE_EXAMPLES=20000` makes a soak of it; a tenth of the examples goes through the client and the sandbox.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from planasonix.errors import OutcomeUnknownError, PlanasonixError
from planasonix.runs.decide import Policy
from planasonix.runs.provenance import Provenance
from planasonix.runs.requests import SyncRequest
from planasonix.runs.start import Start
from tests.core.runs.model_parts import CONNECTION, POST_FATES, TRIES, Crash, Habits, Killed, offset_of
from tests.core.runs.model_server import ModelServer
from tests.core.runs.sandbox_server import SandboxServer

REQUEST = SyncRequest(CONNECTION)
PROVENANCE = Provenance("test", "a test")
ATTEMPTS = 8
EXAMPLES = int(os.environ.get("START_MACHINE_EXAMPLES", "400"))

habits = st.builds(
    offset_of,
    st.builds(
        Habits,
        honours_keys=st.sampled_from([True, True, False]),
        key_ttl_seconds=st.sampled_from([86_400.0, 3_600.0]),
        replay=st.sampled_from(["saved", "live"]),
        saves_refusals=st.booleans(),
        busy=st.sampled_from(["409", "queue", "parallel"]),
        tells=st.booleans(),
        echoes=st.booleans(),
        lag_seconds=st.sampled_from([0.0, 2.0]),
        says_date=st.booleans(),
    ),
    st.sampled_from([0.0, 40.0, -40.0, 900.0, -900.0]),
)
told = st.sampled_from(["honoured", "honoured", "unproven", "ignored"])
fate = st.sampled_from(POST_FATES)
# Chance alone seldom loses all the tries of one call, nor dies just while its POST is under way.
lost_for_good = st.sampled_from(["lost_before", "lost_after", "late"]).map(lambda one: [one] * TRIES)
posts = st.lists(fate, min_size=1, max_size=4) | lost_for_good
# A 404 for a job that is there: up to two, which is less than start believes.
reads = st.lists(st.sampled_from(["ok", "ok", "error", "missing"]), max_size=3).filter(
    lambda fates: fates.count("missing") < 3
)
crashes = st.builds(Crash, st.integers(0, 8), st.booleans()) | st.just(Crash(1, inside=True))


class StartMachine(RuleBasedStateMachine):
    """One slot of a ledger, one connection, an orchestrator that tries again and a user who clears."""

    serve: ClassVar[Callable[[Habits, Policy], Any]] = ModelServer

    @initialize(
        habits=habits,
        idempotency=told,
        if_running=st.sampled_from(["wait", "wait", "attach", "skip", "fail"]),
        cancel_older=st.sampled_from([True, True, True, False]),
    )
    def set_up(self, habits: Habits, idempotency: Any, if_running: Any, cancel_older: bool) -> None:
        if not habits.honours_keys and idempotency == "honoured":
            idempotency = "unproven"  # `honoured` is stated only where it is true
        policy = Policy(
            idempotency=idempotency,
            key_ttl_seconds=habits.key_ttl_seconds,
            if_running=if_running,
            cancel_older=cancel_older,
            on_edit="keep",
        )
        self.server = self.serve(habits, policy)
        self.clear()

    # --- what happens ----------------------------------------------------------------------------------------------

    @rule()
    def start(self) -> None:
        self.try_once()

    @rule(posts=posts, reads=reads)
    def start_over_a_bad_line(self, posts: list[str], reads: list[str]) -> None:
        self.try_once(posts=posts, reads=reads)

    @rule(crash=crashes, posts=st.just([]) | posts)
    def start_and_be_killed(self, crash: Crash, posts: list[str]) -> None:
        self.try_once(crash, posts=posts)

    @rule(posts=st.just([]) | posts)
    def clear_and_start(self, posts: list[str]) -> None:
        self.clear()
        self.try_once(posts=posts)

    @rule(lost=lost_for_good, posts=st.just([]) | posts)
    def clear_after_a_lost_start(self, lost: list[str], posts: list[str]) -> None:
        self.clear_and_start(lost)
        self.clear_and_start(posts)

    @rule()
    def clear(self) -> None:
        self.server.wishes.append(f"wish-{len(self.server.wishes) + 1}")

    @rule(seconds=st.sampled_from([1.0, 130.0, 130.0, 3_500.0, 4_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.server.advance(seconds)

    @rule(which=st.integers(0, 3), status=st.sampled_from(["succeeded", "failed"]))
    def a_job_ends(self, which: int, status: str) -> None:
        if alive := self.server.alive():
            self.server.end(alive[which % len(alive)], status)

    @rule(which=st.integers(0, 3))
    def a_human_cancels(self, which: int) -> None:
        if alive := self.server.alive():
            self.server.stop(alive[which % len(alive)])

    @rule(claimed=st.booleans())
    def somebody_else_starts(self, claimed: bool) -> None:
        self.server.others_start(claimed=claimed)

    @rule()
    def retention_ends(self) -> None:
        """Of the job that the ledger names, if it has ended."""
        record = self.server.stored
        if record is not None and record.run_id is not None and record.run_id not in self.server.alive():
            self.server.forget(record.run_id)

    # --- what must hold at last ------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Against an API that behaves, a few tries bring the result, after an announced doubt to a new wish."""
        if not hasattr(self, "server"):
            return
        server = self.server
        server.behave()
        for _ in range(ATTEMPTS):
            before = len(server.wishes)
            how = self.try_once()
            if how == "finished":
                return
            if how == "OutcomeUnknownError" and len(server.wishes) == before:
                self.clear()
            server.behave()
        raise AssertionError(f"no result after {ATTEMPTS} tries: {server.stored}")

    # --- parts -----------------------------------------------------------------------------------------------------

    def try_once(self, crash: Crash | None = None, *, posts: Sequence[str] = (), reads: Sequence[str] = ()) -> str:
        """One try of the orchestrator: what start came to, or the name of what it raised."""
        server = self.server
        server.post_fates, server.read_fates = list(posts), list(reads)
        wish = server.wishes[-1]
        start = Start(REQUEST, wish, PROVENANCE, server.policy, lambda: server.now)
        try:
            started = server.drive(start.steps(server.stored), crash)
        except Killed:
            return "killed"
        except OutcomeUnknownError:
            server.unknown_for.add(wish)
            return "OutcomeUnknownError"
        except PlanasonixError as error:
            return type(error).__name__
        if started.handle is not None:
            handle = started.handle
            assert not handle.owned or server.wish(handle.id) == (wish, handle.generation)
            assert started.how != "finished" or server.status(handle.id) == "succeeded"
        return started.how


class SandboxMachine(StartMachine):
    """The same through the client and the emulator, which share no code."""

    serve = SandboxServer


def bounded(max_examples: int) -> settings:
    return settings(
        max_examples=max_examples,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


TestStart = StartMachine.TestCase
TestStart.settings = bounded(EXAMPLES)
TestStartThroughTheClient = SandboxMachine.TestCase
TestStartThroughTheClient.settings = bounded(EXAMPLES // 10)
