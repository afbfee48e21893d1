"""An API, a client and a ledger in memory for the state machine of *start*: every behaviour that start must survive.

Time is simulated. The model judges by what it knows itself: which wish and generation each job was created for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from planasonix.errors import (
    Attempt,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PlanasonixError,
    ServerError,
    TransportError,
)
from planasonix.runs import effects
from planasonix.runs.decide import Policy
from planasonix.runs.record import Record
from tests.core.runs.model_parts import (
    CANCEL_SECONDS,
    LATE_SECONDS,
    TRIES,
    Crash,
    Habits,
    Job,
    Killed,
    Saved,
    Sending,
    Shown,
)


@dataclass
class ModelServer:
    """The API, and the client in front of it."""

    habits: Habits
    policy: Policy
    now: float = 1_700_000_000.0
    jobs: dict[str, Job] = field(default_factory=dict)
    keys: dict[str, Saved] = field(default_factory=dict)
    in_flight: list[tuple[float, str, str]] = field(default_factory=list)
    post_fates: list[str] = field(default_factory=list)
    read_fates: list[str] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    text: str | None = None
    wishes: list[str] = field(default_factory=list)
    known: dict[str, Record] = field(default_factory=dict)
    first_sent: dict[str, float] = field(default_factory=dict)
    sendings: dict[tuple[str, int], Sending] = field(default_factory=dict)
    unknown_for: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    # --- what a test does with it ----------------------------------------------------------------------------------

    @property
    def stored(self) -> Record | None:
        return None if self.text is None else Record.from_dict(json.loads(self.text))

    def alive(self) -> list[str]:
        return [job.id for job in self.jobs.values() if job.alive]

    def status(self, job_id: str) -> str:
        return self.jobs[job_id].status

    def wish(self, job_id: str) -> tuple[str, int] | None:
        return self.jobs[job_id].wish

    def advance(self, seconds: float) -> None:
        """Let time pass: late requests arrive, jobs that were asked to stop do."""
        until = self.now + seconds
        while True:
            stops = [(j.history[-1][0] + CANCEL_SECONDS, j) for j in self.jobs.values() if j.status == "cancelling"]
            due = min([at for at, _ in stops] + [at for at, _, _ in self.in_flight], default=math.inf)
            if due > until:
                break
            self.now = max(self.now, due)
            for _, job in [stop for stop in stops if stop[0] <= due]:
                job.history.append((self.now, "cancelled"))
            arrived = [each for each in self.in_flight if each[0] <= due]
            self.in_flight = [each for each in self.in_flight if each[0] > due]
            for _, key, body in arrived:
                self._arrive(key, body)
        self.now = until

    def end(self, job_id: str, status: str) -> None:
        if self.jobs[job_id].alive:
            self.jobs[job_id].history.append((self.now, status))

    def stop(self, job_id: str) -> None:
        """Somebody presses the button on the job's page."""
        if self.jobs[job_id].status == "running":
            self.jobs[job_id].history.append((self.now, "cancelling"))

    def forget(self, job_id: str) -> None:
        """The end of the job's retention."""
        self.jobs[job_id].hidden = True

    def others_start(self, *, claimed: bool) -> None:
        """Somebody else starts a job; `claimed`: another slot of our ledger, which owns it."""
        if self.habits.busy != "409" or not self.alive():
            job = self._create(None, {})
            if claimed:
                self.claimed.add(job.id)

    def behave(self) -> None:
        """From now on nothing goes wrong, and nobody else's job runs."""
        self.post_fates.clear()
        self.read_fates.clear()
        self.advance(60.0)
        for job_id in self.alive():
            self.end(job_id, "succeeded")

    # --- the driver ------------------------------------------------------------------------------------------------

    def drive(self, steps: Generator[Any, Any, Any], crash: Crash | None = None) -> Any:
        """Carry the steps out; raises their errors, and `Killed` at the crash."""
        count = 0
        try:
            effect = next(steps)
            while True:
                dying = crash is not None and crash.at == count
                if dying and not (crash and crash.inside):
                    raise Killed
                try:
                    answer = self.do(effect, tries=1 if dying else TRIES)
                except PlanasonixError as error:
                    if dying:
                        raise Killed from None
                    effect = steps.throw(error)
                else:
                    if dying:
                        raise Killed
                    effect = steps.send(answer)
                count += 1
        except StopIteration as end:
            return end.value

    def do(self, effect: Any, *, tries: int) -> Any:
        match effect:
            case effects.Save(record):
                self._save(record)
            case effects.Post(record, retry_unknown):
                return self._post(record, retry_unknown=retry_unknown, tries=tries)
            case effects.Get(_, run_id):
                self._read_or_fail(one=True)
                return self._visible(run_id)
            case effects.ListSince():
                self._read_or_fail()
                offset = self._told_offset()
                since = effect.since + (offset or 0.0)
                rows = [self._shown(job, row=True) for job in self.jobs.values() if self._is_visible(job)]
                return effects.Listed([row for row in rows if row.created_at.timestamp() >= since], offset)
            case effects.Claimed(run_ids):
                return frozenset(self.claimed.intersection(run_ids))
            case effects.Cancel(_, run_id):
                self._read_or_fail()
                return self._cancel(run_id)
            case effects.Sleep(seconds):
                self.advance(seconds)
            case effects.Say(_, text):
                self.said.append(text)
        return None

    # --- the client ------------------------------------------------------------------------------------------------

    def _post(self, record: Record, *, retry_unknown: bool, tries: int) -> tuple[Shown, int]:
        """Sends as the client does: again while it may; an error says `unknown` if any try may have had its effect."""
        assert self.stored == record, "a POST that the ledger does not know"
        self._check_bytes(record)
        maybe_done = False
        for number in range(1, tries + 1):
            self.advance(0.5)
            fate = self.post_fates.pop(0) if self.post_fates else "ok"
            error: PlanasonixError
            try:
                return self._try(record, fate, number), number
            except ConflictError as refusal:
                error, may_repeat = refusal, False
            except InvalidRequestError as refusal:
                error, may_repeat = refusal, False
            except (TransportError, ServerError) as lost:
                error = lost
                may_repeat = retry_unknown or lost.outcome == "not_sent"
                maybe_done = maybe_done or lost.outcome == "unknown"
            if not may_repeat or number == tries:
                break
        last = self.sendings[record.intent, record.generation]
        last.refused = isinstance(error, ConflictError) or (not maybe_done and error.outcome in ("refused", "not_sent"))
        if maybe_done:
            error.outcome = "unknown"
        raise error.with_attempts(
            Attempt(at=0.0, status=None, error="x", request_id=None, slept_seconds=0.0) for _ in range(number)
        )

    def _try(self, record: Record, fate: str, number: int) -> Shown:
        if fate == "not_sent":
            raise TransportError("no connection", outcome="not_sent")
        if fate == "refused":
            raise InvalidRequestError("not now", status_code=422)
        if fate == "late":
            self.in_flight.append((self.now + LATE_SECONDS, record.key, record.body))
        if fate in ("ok", "lost_after", "error_after", "cut"):
            try:
                shown = self._accept(record.key, record.body)
            except ConflictError:
                if fate == "ok":
                    raise
            else:
                if fate == "ok":
                    return shown
        if fate.startswith("error"):
            error = ServerError("bad gateway", status_code=502)
            error.outcome = "unknown"
            raise error
        raise TransportError("no answer")

    def _check_bytes(self, record: Record) -> None:
        wish = (record.intent, record.generation)
        last = self.sendings.get(wish)
        if last is not None and (last.key, last.body) != (record.key, record.body):
            assert last.refused, "key or bytes changed though the earlier sending may have had its effect"
        self.sendings[wish] = Sending(record.key, record.body, refused=False)
        self.first_sent.setdefault(record.key, self.now)

    # --- the API ---------------------------------------------------------------------------------------------------

    def _arrive(self, key: str, body: str) -> None:
        """A request that nobody waits for any more."""
        try:
            self._accept(key, body)
        except ConflictError:
            return

    def _accept(self, key: str, body: str) -> Shown:
        saved = self.keys.get(key) if self.habits.honours_keys else None
        if saved is not None and self.now - saved.at < self.habits.key_ttl_seconds:
            assert saved.body == body, "the same key with other bytes"
            if saved.shown is None:
                raise ConflictError("busy", status_code=409)
            return saved.shown if self.habits.replay == "saved" else self._shown(self.jobs[saved.shown.id])
        alive = self.alive()
        if alive and self.habits.busy == "409":
            if self.habits.saves_refusals:
                self.keys[key] = Saved(self.now, body, None)
            raise ConflictError("busy", status_code=409, existing_job_id=alive[0] if self.habits.tells else None)
        metadata = json.loads(body)["metadata"]
        wish = (metadata["planasonix_intent"], metadata["planasonix_generation"])
        job = self._create(wish, metadata)
        self.keys[key] = Saved(self.now, body, self._shown(job))
        return self._shown(job)

    def _create(self, wish: tuple[str, int] | None, metadata: dict[str, Any]) -> Job:
        if wish is not None:
            self._check_one_job(wish)
            self._check_older(wish)
        job = Job(f"job_{len(self.jobs) + 1}", self.now, wish, metadata, [(self.now, "running")])
        self.jobs[job.id] = job
        return job

    def _cancel(self, run_id: str) -> Shown:
        job = self.jobs.get(run_id)
        if job is None or job.hidden:
            raise NotFoundError("no such job", status_code=404)
        assert job.wish is not None, "somebody else's job was cancelled"
        assert job.wish[0] != self.wishes[-1], "the present wish's own job was cancelled"
        self.stop(run_id)
        job.cancelled_by_start = True
        return self._shown(job)

    def _read_or_fail(self, *, one: bool = False) -> None:
        fate = self.read_fates.pop(0) if self.read_fates else "ok"
        if fate == "missing" and one:
            raise NotFoundError("no such job", status_code=404)
        if fate != "ok":
            raise ServerError("down", status_code=503)

    def _visible(self, run_id: str) -> Shown:
        job = self.jobs.get(run_id)
        if job is None or not self._is_visible(job):
            raise NotFoundError("no such job", status_code=404)
        return self._shown(job, as_of=self.now - self.habits.lag_seconds)

    def _is_visible(self, job: Job) -> bool:
        return not job.hidden and job.created <= self.now - self.habits.lag_seconds

    def _shown(self, job: Job, *, row: bool = False, as_of: float | None = None) -> Shown:
        """A list row is as far behind as a read, and shows neither the end nor the metadata."""
        as_of = self.now - self.habits.lag_seconds if row else as_of
        status = job.status if as_of is None else job.status_at(as_of)
        ended = None if row or status in ("running", "cancelling") else self._stamp(job.history[-1][0])
        echoed = job.metadata if self.habits.echoes and not row else None
        return Shown(job.id, status, self._stamp(job.created), ended, echoed)

    def _stamp(self, at: float) -> datetime:
        """The API's own clock, in whole seconds."""
        return datetime.fromtimestamp(math.floor(at + self.habits.clock_offset_seconds), UTC)

    def _told_offset(self) -> float | None:
        if not self.habits.says_date:
            return None
        return math.floor(self.now + self.habits.clock_offset_seconds) - self.now

    # --- the ledger, and what must hold ----------------------------------------------------------------------------

    def _save(self, record: Record) -> None:
        self.text = json.dumps(record.to_dict())
        assert self.stored == record, "the ledger does not give back what it was given"
        if record.run_id is not None:
            self.known[record.run_id] = record
        if record.run_id is not None and record.owned:
            job = self.jobs[record.run_id]
            assert job.wish == (record.intent, record.generation), "owned, and created for another wish"

    def _check_one_job(self, wish: tuple[str, int]) -> None:
        if wish[0] in self.unknown_for:
            return
        for job in self.jobs.values():
            assert job.wish != wish, f"two jobs for {wish}"
            assert job.wish is None or job.wish[0] != wish[0] or not job.alive, f"{wish} while {job.wish} goes on"

    def _check_older(self, wish: tuple[str, int]) -> None:
        """A wish's job starts only after the jobs of older ones that are certainly ours have ended."""
        if not self.policy.cancel_older:
            return
        older = self.wishes[: self.wishes.index(wish[0])]
        newer = [job.id for job in self.jobs.values() if job.wish and job.wish[0] not in (*older, wish[0])]
        assert not newer, f"a job of an older wish began after {newer}"
        for job in self.jobs.values():
            if job.wish is None or job.wish[0] not in older or not job.alive:
                continue
            record = self.known.get(job.id)
            assert record is None or not record.owned, f"{job.id} of an older wish lives on"
            if record is None and self.policy.idempotency == "honoured" and not job.hidden:
                # Its answer never came. While its key counts, a replay names it.
                key = next(key for key, saved in self.keys.items() if saved.shown and saved.shown.id == job.id)
                young = self.now - self.first_sent[key] < self.policy.key_ttl_seconds / 2
                assert not young, f"{job.id} of an older wish lives on, and its key would have named it"
