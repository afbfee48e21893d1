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
is left to end. A stage that could not be started failed; a refusal that all stages would meet is raised, unless one of
them runs: then its end comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from planasonix.errors import ConfigurationError, PlanasonixError
from planasonix.runs.decide import Policy
from planasonix.runs.handle import RunHandle
from planasonix.runs.provenance import Provenance
from planasonix.runs.record import Record
from planasonix.runs.stage_follow import Follow, Followed
from planasonix.runs.stage_steps import REFUSED_FOR_ALL, BookFailed, kept_in_entry, not_started, read_entry, write_entry
from planasonix.runs.staged_progress import StagedProgress
from planasonix.runs.stages import (
    HEADER,
    BookSteps,
    Header,
    ReadEntry,
    StagedBackfill,
    StageEntry,
    WriteEntry,
    header_of_wish,
    numbers_in,
    ranges_of,
    stage_intent,
)
from planasonix.runs.start import Start, Started


@dataclass
class Advance:
    """One round: what it was given, and the header as it stands.

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
    _header: Header = field(init=False)
    _written: Header | None = field(init=False, default=None)
    _follow: Follow = field(init=False)
    _numbers: dict[str, int] = field(init=False)
    _done: set[int] = field(init=False)
    _active: list[RunHandle] = field(init=False, default_factory=list[RunHandle])
    _doubtful: list[str] = field(init=False, default_factory=list[str])
    _busy: Started | None = field(init=False, default=None)
    _skipped: bool = field(init=False, default=False)

    def steps(self) -> BookSteps[StagedProgress]:
        """Raises what the table of `runs.start` says of older wishes, and the book's errors; see the module."""
        try:
            yield from self._open()
            yield from self._settle()
            yield from self._start_more()
            return (yield from self._close())
        except BookFailed as failure:
            raise failure.error from None

    # --- the wish --------------------------------------------------------------------------------------------------

    def _open(self) -> BookSteps[None]:
        stored = yield ReadEntry(HEADER)
        self._written = None if stored is None else Header.from_dict(stored)
        self._numbers = {stage.name: number for number, stage in enumerate(self.asked.stages)}
        self._header = header = header_of_wish(self.asked, self.intent, self._written, self.now())
        self._follow = Follow(
            self.policy,
            self.now,
            self.attempt,
            header.attempt,
            self.asked.request.expected_tables,
            self.job_url_template,
        )
        if header.attempt != self.attempt:
            self._header = replace(
                header, attempt=self.attempt, failed=(), failures_in_a_row=0, cancelled=False, stopped=False
            )
        if header.plan == self.asked.plan:
            self._done = numbers_in(header.done)
        else:
            yield from self._index()

    def _index(self) -> BookSteps[None]:
        """Another plan than the header's: the entries tell what is done."""
        self._done = set()
        failed: list[str] = []
        active = list(self._header.active)
        for number, stage in enumerate(self.asked.stages):
            entry = yield from read_entry(stage.name)
            if entry is None or stage.name in active:
                continue
            if self._loaded(number, entry):
                self._done.add(number)
            elif entry.may_run:
                active.append(stage.name)
            elif self._ours(number, entry) and entry.outcome is not None and entry.ended_in == self.attempt:
                failed.append(stage.name)
        self._header = replace(
            self._header, plan=self.asked.plan, active=tuple(active), failed=tuple(failed), done=ranges_of(self._done)
        )

    def _ours(self, number: int, entry: StageEntry) -> bool:
        """Whether this wish asked for what the entry tells of."""
        return (entry.wish, entry.digest) == (self.intent, self.asked.digests[number])

    def _loaded(self, number: int, entry: StageEntry) -> bool:
        return entry.succeeded and (entry.epoch, entry.digest) == (self._header.epoch, self.asked.digests[number])

    # --- what became of those that were active -----------------------------------------------------------------------

    def _settle(self) -> BookSteps[None]:
        live: list[str] = []
        ends: list[tuple[str, int, StageEntry]] = []
        for name in self._header.active:
            entry = yield from read_entry(name)
            number = self._numbers.get(name)
            if entry is not None and self._failed_here(name, entry):
                live.append(name)
                continue
            if entry is not None and (entry.outcome is None or entry.may_run):
                entry = replace(entry, outcome=None)
                ours = number is not None and self._ours(number, entry)
                entry = self._take((yield from self._follow.steps(name, entry, ours=ours)), name)
            if entry is None:
                continue
            if entry.outcome is None or entry.may_run:
                live.append(name)
            if entry.outcome is not None and number is not None:
                ends.append((entry.outcome.get("finished_at") or "", number, entry))
        self._header = replace(self._header, active=tuple(live))
        for _, number, entry in sorted(ends, key=lambda end: end[:2]):
            self._count(number, entry)
        yield from self._keep()

    def _failed_here(self, name: str, entry: StageEntry) -> bool:
        """Whether it counts as failed in this attempt already, though its job may run."""
        return name in self._header.failed and entry.may_run and entry.outcome is not None

    def _take(self, followed: Followed, name: str) -> StageEntry | None:
        if followed.handle is not None:
            self._active.append(followed.handle)
        elif followed.doubtful:
            self._doubtful.append(name)
        return followed.entry

    def _count(self, number: int, entry: StageEntry) -> None:
        """Put a stage that has ended where it belongs."""
        header, name = self._header, self.asked.stages[number].name
        if not entry.may_run:
            active = tuple(each for each in header.active if each != name)
            self._header = header = replace(header, active=active)
        if self._loaded(number, entry):
            self._done.add(number)
            self._header = replace(header, done=ranges_of(self._done), failures_in_a_row=0)
        elif self._ours(number, entry) and entry.ended_in == self.attempt:
            cancelled = (entry.outcome or {}).get("status") == "cancelled"
            in_a_row, most = header.failures_in_a_row + 1, self.asked.stop_after_failures
            self._header = replace(
                header,
                failed=(*header.failed, name),
                failures_in_a_row=in_a_row,
                cancelled=header.cancelled or cancelled,
                stopped=header.stopped or cancelled or (most is not None and in_a_row >= most),
            )

    # --- what may start ----------------------------------------------------------------------------------------------

    def _start_more(self) -> BookSteps[None]:
        taken = {*self._header.failed, *self._header.active}
        to_do = [
            number
            for number, stage in enumerate(self.asked.stages)
            if number not in self._done and stage.name not in taken
        ]
        for number in (*(self._numbers[name] for name in self._doubtful), *to_do):
            if self._header.stopped or len(self._active) >= self.asked.max_active_stages:
                return
            if not (yield from self._start(number)):
                return

    def _start(self, number: int) -> BookSteps[bool]:
        """Start one stage, or find its job again; whether another one may be tried."""
        stage, digest = self.asked.stages[number], self.asked.digests[number]
        if stage.name not in self._header.active:
            self._header = replace(self._header, active=(*self._header.active, stage.name))
        self._header = replace(self._header, outcome=None)
        yield from self._keep()
        entry = yield from read_entry(stage.name)
        if entry is not None and self._loaded(number, entry):
            self._count(number, entry)  # the index was behind
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
            return StageEntry(record, self.intent, self._header.epoch, digest)

        try:
            started = yield from kept_in_entry(steps, stage.name, label)
        except ConfigurationError:
            raise
        except PlanasonixError as error:
            after = yield from read_entry(stage.name)
            if after is None or not self._ours(number, after):
                raise  # the job of an older wish could not be ended: nothing of this one was asked for
            for_all = isinstance(error, REFUSED_FOR_ALL)
            if for_all and not self._active:
                raise
            after = not_started(after, error, self.attempt)
            yield from write_entry(stage.name, after)
            self._count(number, after)
            self._header = replace(self._header, stopped=self._header.stopped or for_all)
            return True
        return (yield from self._started(number, started))

    def _started(self, number: int, started: Started) -> BookSteps[bool]:
        if started.how in ("busy", "skipped"):
            self._skipped = started.how == "skipped"
            if started.how == "busy" and not self._active:
                self._busy = started
                self._header = replace(self._header, busy_since=self._header.busy_since or self.now())
            return False
        assert started.handle is not None  # noqa: S101 - it is there in all other cases
        self._header = replace(self._header, busy_since=None)
        if started.how != "finished":
            self._active.append(started.handle)
            return True
        name = self.asked.stages[number].name
        entry = yield from read_entry(name)
        assert entry is not None  # noqa: S101 - start wrote it
        follow = replace(self._follow, counts_to=self.attempt)
        entry = self._take((yield from follow.read_end(name, entry)), name)
        if entry is not None and entry.outcome is not None:
            self._count(number, entry)
        return True

    # --- the end of the round ----------------------------------------------------------------------------------------

    def _close(self) -> BookSteps[StagedProgress]:
        header, active = self._header, tuple(self._active)
        all_done = len(self._done) == len(self.asked.stages)
        ended = not active and self._busy is None
        if ended:
            outcome = "succeeded" if all_done else "cancelled" if header.cancelled else "failed"
            self._header = replace(header, outcome=outcome)
        yield from self._keep()
        return StagedProgress(
            active=active,
            done=len(self._done),
            failed=header.failed,
            to_do=len(self.asked.stages) - len(self._done) - len(header.failed) - len(active),
            ended=ended,
            skipped=self._skipped,
            busy_kind="job" if self._busy is None else self._busy.busy_kind,
            busy_run_id=None if self._busy is None else self._busy.busy_run_id,
            busy_since=header.busy_since,
        )

    def _keep(self) -> BookSteps[None]:
        if self._header != self._written:
            yield WriteEntry(HEADER, self._header.to_dict())
            self._written = self._header
