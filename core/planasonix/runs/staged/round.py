"""Advance a staged backfill by one round: read what ended, start what may start, say whom to wait for.

`Advance.steps` is a generator as `start` is, and each stage is started by that one: it is an intent of its own, whose
record lives in the stage's entry. So one job per intent, crashes at any step, lost answers, busy connections: all
of that is the business of `runs.start`. What is added here is which stage comes next.

====================================================================  ============================================
a stage whose entry says                                              is
====================================================================  ============================================
loaded, in this epoch, by a request like this one                     done: never started again
nothing; or loaded in another epoch, or by another request            to do
failed, in an earlier attempt or for an older wish                    to do: `start` takes its next generation
failed, in this attempt                                               failed
its job runs, asked for by this wish                                  active; past its deadline: cancelled, failed
its job runs, asked for by an older wish or another request           cancelled first (`retire`), then to do
its job ended while nobody looked                                     by its end: done, or failed in the attempt
                                                                      that was the last to look
sent, answer unknown; or being cancelled since an earlier attempt     for `start` to find out, before all others
====================================================================  ============================================

Nothing new starts after `stop_after_failures` failures in a row, or after somebody cancelled a stage's job: what runs
is left to end, and a stage whose start got no answer is looked for. A stage that could not be started failed. A refusal
that all stages would meet, a connection that is busy (`if_running="fail"`) and an outage say nothing of the stage: they
are raised, unless a stage runs: then its end comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.runs.decide import Policy, is_paused
from planasonix.runs.effects import Say
from planasonix.runs.handle import RunHandle
from planasonix.runs.provenance import Provenance
from planasonix.runs.record import Record
from planasonix.runs.staged.follow import Follow, Followed
from planasonix.runs.staged.index import Index
from planasonix.runs.staged.progress import StagedProgress
from planasonix.runs.staged.steps import (
    REFUSED_FOR_ALL,
    BookFailed,
    kept_in_entry,
    no_failure_of_a_stage,
    not_started,
    read_entry,
    write_entry,
)
from planasonix.runs.staged.wish import BookSteps, StagedBackfill, StageEntry, stage_intent
from planasonix.runs.start import Start, Started


@dataclass
class Advance:
    """One round: what it was given, and what it has found so far.

    `intent` is the wish's token. `attempt` names the orchestrator's try, in any words: a stage that failed in this one
    stays failed.
    """

    asked: StagedBackfill
    intent: str
    attempt: str
    provenance: Provenance
    policy: Policy
    now: Callable[[], float]
    metadata: dict[str, object] | None = None
    job_url_template: str | None = None
    _index: Index = field(init=False)
    _follow: Follow = field(init=False)
    _active: list[RunHandle] = field(init=False, default_factory=list[RunHandle])
    _doubtful: list[str] = field(init=False, default_factory=list[str])
    _busy: Started | None = field(init=False, default=None)
    _skipped: bool = field(init=False, default=False)
    _stalled: bool = field(init=False, default=False)

    def steps(self) -> BookSteps[StagedProgress]:
        """Raises what the table of `runs.start` says of older wishes, and the book's errors; see the module."""
        try:
            self._index = Index(self.asked, self.intent, self.attempt, self.now)
            yield from self._index.open()
            self._follow = Follow(
                self.policy,
                self.now,
                self.attempt,
                self._index.before,
                self.asked.request.expected_tables,
                self.job_url_template,
            )
            yield from self._settle()
            yield from self._start_more()
            return (yield from self._close())
        except BookFailed as failure:
            raise failure.error from None

    # --- what became of those that were active -----------------------------------------------------------------------

    def _settle(self) -> BookSteps[None]:
        live: list[str] = []
        ends: list[tuple[str, int, StageEntry]] = []
        for name in self._index.header.active:
            entry = yield from read_entry(name)
            number = self._index.numbers.get(name)
            if entry is not None and self._failed_here(name, entry):
                live.append(name)
                continue
            if entry is not None and (entry.outcome is None or entry.may_run):
                entry = replace(entry, outcome=None)
                ours = number is not None and self._index.ours(number, entry)
                entry = self._take((yield from self._follow.steps(name, entry, ours=ours)), name)
            if entry is None:
                continue
            if entry.outcome is None or entry.may_run:
                live.append(name)
            if entry.outcome is not None and number is not None:
                ends.append((entry.outcome.get("finished_at") or "", number, entry))
        self._index.change(active=tuple(live))
        for _, number, entry in sorted(ends, key=lambda end: end[:2]):
            self._index.count(number, entry)
        yield from self._index.keep()

    def _failed_here(self, name: str, entry: StageEntry) -> bool:
        """Whether it counts as failed in this attempt already, though its job may run."""
        return name in self._index.header.failed and entry.may_run and entry.outcome is not None

    def _take(self, followed: Followed, name: str) -> StageEntry | None:
        if followed.handle is not None:
            self._active.append(followed.handle)
        elif followed.doubtful:
            self._doubtful.append(name)
        self._stalled = self._stalled or followed.unread
        return followed.entry

    # --- what may start ----------------------------------------------------------------------------------------------

    def _start_more(self) -> BookSteps[None]:
        to_do = self._index.to_do()
        doubtful, self._doubtful = self._doubtful, []
        for number in (*(self._index.numbers[name] for name in doubtful), *to_do):
            if self._index.header.stopped:
                if self.asked.stages[number].name in doubtful:
                    yield from self._find(number)
            elif len(self._active) >= self.asked.max_active_stages or not (yield from self._start(number)):
                return

    def _find(self, number: int) -> BookSteps[None]:
        """Nothing new may start, and this stage may have a job."""
        name = self.asked.stages[number].name
        entry = yield from read_entry(name)
        assert entry is not None  # noqa: S101 - it was read when the round began
        try:
            followed = yield from self._follow.find(name, entry)
        except PlanasonixError as error:
            if not self._active:
                raise
            yield Say("warning", f"stage {name} could not be looked for: {error}")
            self._stalled = True
            return
        entry = self._take(followed, name)
        if entry is not None and entry.outcome is not None:
            self._index.count(number, entry)

    def _start(self, number: int) -> BookSteps[bool]:
        """Start one stage, or find its job again; whether another one may be tried."""
        stage, digest = self.asked.stages[number], self.asked.digests[number]
        self._index.activate(stage.name)
        yield from self._index.keep()
        entry = yield from read_entry(stage.name)
        if entry is not None and self._index.loaded(number, entry):
            self._index.count(number, entry)  # the index was behind
            return True
        # While a stage of ours runs, it may be what keeps the connection busy: that is no reason to fail or attach.
        policy = replace(self.policy, if_running="wait") if self._active else self.policy
        provenance = replace(self.provenance, details={**self.provenance.details, "stage": stage.name})
        intent = stage_intent(self.intent, digest, entry)
        start = Start(self.asked.request_of(stage), intent, provenance, policy, self.now, self.metadata)
        steps = start.steps(None if entry is None else entry.record)

        def label(record: Record) -> StageEntry:
            if entry is not None and record.intent != intent:
                return replace(entry, record=record)  # of the older wish, whose job is ended first
            return StageEntry(record, self.intent, self._index.header.epoch, digest)

        try:
            started = yield from kept_in_entry(steps, stage.name, label)
        except ConfigurationError:
            raise
        except PlanasonixError as error:
            self._index.change(busy_since=None)
            yield from self._index.keep()
            after = yield from read_entry(stage.name)
            if after is None or not self._index.ours(number, after):
                raise  # the job of an older wish could not be ended: nothing of this one was asked for
            for_all = isinstance(error, REFUSED_FOR_ALL) or is_paused(error)
            nobodys_fault = no_failure_of_a_stage(error)
            if (for_all or nobodys_fault) and not self._active:
                raise
            if nobodys_fault:
                yield Say("warning", f"stage {stage.name} could not be started yet: {error}")
                self._stalled = True
                return False
            after = not_started(after, error, self.attempt)
            yield from write_entry(stage.name, after)
            self._index.count(number, after)
            self._index.change(stopped=self._index.header.stopped or for_all)
            return True
        return (yield from self._started(number, started))

    def _started(self, number: int, started: Started) -> BookSteps[bool]:
        if started.how in ("busy", "skipped"):
            self._skipped = started.how == "skipped"
            if started.how == "busy" and not self._active:
                self._busy = started
                self._index.change(busy_since=self._index.header.busy_since or self.now())
            return False
        assert started.handle is not None  # noqa: S101 - it is there in all other cases
        if started.how != "finished":
            self._active.append(started.handle)
            return True
        name = self.asked.stages[number].name
        entry = yield from read_entry(name)
        assert entry is not None  # noqa: S101 - start wrote it
        follow = replace(self._follow, counts_to=self.attempt)
        entry = self._take((yield from follow.read_end(name, entry)), name)
        if entry is not None and entry.outcome is not None:
            self._index.count(number, entry)
        return True

    # --- the end of the round ----------------------------------------------------------------------------------------

    def _close(self) -> BookSteps[StagedProgress]:
        active = tuple(self._active)
        if self._busy is None:
            self._index.change(busy_since=None)
        ended = not active and self._busy is None
        if ended:
            self._index.change(outcome=self._outcome())
        yield from self._index.keep()
        header = self._index.header
        return StagedProgress(
            active=active,
            done=len(self._index.done),
            failed=header.failed,
            to_do=len(self.asked.stages) - len(self._index.done) - len(header.failed) - len(active),
            ended=ended,
            skipped=self._skipped,
            stalled=self._stalled,
            busy_kind="job" if self._busy is None else self._busy.busy_kind,
            busy_run_id=None if self._busy is None else self._busy.busy_run_id,
            busy_since=header.busy_since,
        )

    def _outcome(self) -> str:
        if len(self._index.done) == len(self.asked.stages):
            return "succeeded"
        if self._index.header.cancelled:
            return "cancelled"
        return "skipped" if self._skipped and not self._index.header.failed else "failed"
