"""The real sandbox behind the real client, in this process and on a simulated clock, as the state machine's server."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from typing import Any

from planasonix import Planasonix
from planasonix.errors import PlanasonixError
from planasonix.runs import effects
from planasonix.runs.decide import Policy
from planasonix.runs.drivers import _do
from planasonix.runs.record import Record
from planasonix.sandbox import Sandbox
from planasonix.sandbox.clock import VirtualClock
from tests.core.runs.model_parts import CONNECTION, TRIES, Crash, Habits, Killed

_NUMBERS = itertools.count()
_FAULTS: dict[str, dict[str, Any]] = {
    "lost_before": {"kind": "reset"},
    "lost_after": {"kind": "drop"},
    "late": {"kind": "drop"},
    "error_before": {"kind": "error", "where": "before"},
    "error_after": {"kind": "error", "where": "after"},
    "cut": {"kind": "cut"},
    "not_sent": {"kind": "refused"},
    "refused": {"kind": "error", "status": 422},
}


class _Clock:
    """Ours: the sandbox's time, off by so much."""

    def __init__(self, sandbox: Sandbox, offset_seconds: float) -> None:
        self._sandbox = sandbox
        self._offset_seconds = offset_seconds

    def monotonic(self) -> float:
        return self._sandbox.clock.time()

    def time(self) -> float:
        return self._sandbox.clock.time() - self._offset_seconds

    def sleep(self, seconds: float) -> None:
        self._sandbox.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self._sandbox.advance(seconds)


class SandboxServer:
    """What `ModelServer` offers to the machine, with every call going through the client."""

    def __init__(self, habits: Habits, policy: Policy) -> None:
        # A key of its own: clients of one key share what they learned about the API's pace.
        self._key = f"plnx_test_{next(_NUMBERS)}"
        self._sandbox = Sandbox(
            clock=VirtualClock.manual(datetime(2026, 1, 1, tzinfo=UTC)),
            api_keys=self._key,
            idempotency="honoured" if habits.honours_keys else "ignored",
            idempotency_ttl_seconds=habits.key_ttl_seconds,
            idempotency_replay=habits.replay,
            busy=habits.busy,
            telling_conflicts=habits.tells,
            echo_metadata=habits.echoes,
            list_staleness_seconds=habits.lag_seconds,
        )
        self._sandbox.script(CONNECTION, "stuck")
        # The door in this process sends no `Date`.
        offset_seconds = max(-45.0, min(45.0, habits.clock_offset_seconds))
        self._clock = _Clock(self._sandbox, offset_seconds)
        self._client = Planasonix(
            self._key,
            transport=self._sandbox.transport(),
            idempotency=policy.idempotency,
            clock=self._clock,
            rng=random.Random(1),
            max_tries=TRIES,
        )
        self.policy = policy
        self.post_fates: list[str] = []
        self.read_fates: list[str] = []
        self.wishes: list[str] = []
        self.unknown_for: set[str] = set()
        self._text: str | None = None
        self._claimed: set[str] = set()
        self._stopped_by_hand: set[str] = set()

    # --- what the machine does with it -----------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self._clock.time()

    @property
    def stored(self) -> Record | None:
        return None if self._text is None else Record.from_dict(json.loads(self._text))

    def status(self, job_id: str) -> str:
        return self._sandbox.job(job_id)["status"]

    def wish(self, job_id: str) -> tuple[str, int] | None:
        metadata = self._sandbox.job(job_id)["metadata"] or {}
        intent = metadata.get("planasonix_intent")
        return None if intent is None else (intent, metadata["planasonix_generation"])

    def alive(self) -> list[str]:
        return [job["id"] for job in self._sandbox.jobs(CONNECTION) if not job["is_terminal"]]

    def advance(self, seconds: float) -> None:
        self._sandbox.advance(seconds)

    def end(self, job_id: str, status: str) -> None:
        self._sandbox.finish(job_id, status)

    def stop(self, job_id: str) -> None:
        self._stopped_by_hand.add(job_id)
        self._call("POST", f"/api/v1/jobs/{job_id}/cancel")

    def forget(self, job_id: str) -> None:
        self._sandbox.forget(job_id)

    def others_start(self, *, claimed: bool) -> None:
        before = set(self.alive())
        self._call("POST", f"/api/v1/connections/{CONNECTION}/sync", b"{}")
        if claimed:
            self._claimed |= set(self.alive()) - before

    def behave(self) -> None:
        self.post_fates, self.read_fates = [], []
        self.advance(60.0)
        while alive := self.alive():  # the end of one may start the next in line
            for job_id in alive:
                self.end(job_id, "succeeded")

    def drive(self, steps: Generator[Any, Any, Any], crash: Crash | None = None) -> Any:
        """As `perform`, on the simulated clock; raises `Killed` at the crash."""
        self._set_faults()
        try:
            effect = next(steps)
            for count in itertools.count():
                dying = crash is not None and crash.at == count
                if dying and not (crash and crash.inside):
                    raise Killed
                try:
                    answer = self._do(effect, tries=1 if dying else TRIES)
                except PlanasonixError as error:
                    if dying:
                        raise Killed from None
                    effect = steps.throw(error)
                else:
                    if dying:
                        raise Killed
                    effect = steps.send(answer)
        except StopIteration as end:
            return end.value
        finally:
            self._sandbox.clear_faults()
            self.check()
        raise AssertionError("unreachable")

    # --- the ledger ------------------------------------------------------------------------------------------------

    def read(self) -> Record | None:
        return self.stored

    def write(self, record: Record) -> None:
        self._text = json.dumps(record.to_dict())
        assert self.stored == record
        if record.run_id is not None and record.owned:
            assert self.wish(record.run_id) == (record.intent, record.generation), "owned, and of another wish"

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        return frozenset(self._claimed.intersection(run_ids))

    # --- parts -----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """One job for each wish and generation; nobody else's job was stopped."""
        jobs = self._sandbox.jobs(CONNECTION)
        wishes = [self.wish(job["id"]) for job in jobs]
        for job, wish in zip(jobs, wishes, strict=True):
            if wish is None:
                assert job["cancel_requested_at"] is None or job["id"] in self._stopped_by_hand
            elif wish[0] not in self.unknown_for:
                assert wishes.count(wish) == 1, f"two jobs for {wish}"

    def _do(self, effect: Any, *, tries: int) -> Any:
        if isinstance(effect, effects.Sleep):
            return self.advance(effect.seconds)
        return _do(self._client.with_options(max_tries=tries), effect, self, None)

    def _set_faults(self) -> None:
        for fate in self.post_fates:
            if fate != "ok":
                self._sandbox.fault("connections.sync", **_FAULTS[fate])
        for number, fate in enumerate(self.read_fates):
            if fate != "ok":
                self._sandbox.fault("jobs.*", "error", times=TRIES, skip_first=number * TRIES)

    def _call(self, method: str, path: str, body: bytes = b"") -> None:
        self._sandbox.handle(method, path, (), {"authorization": f"Bearer {self._key}"}, body)
