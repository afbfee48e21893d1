"""What became of a stage that was active: goes on, has ended, ran out of time, or belongs to an older wish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from planasonix.errors import PlanasonixError
from planasonix.runs.cancel import cancel, cancelled_words
from planasonix.runs.decide import Next, Policy, by_looking
from planasonix.runs.effects import RunView, Say, Sleep, Steps
from planasonix.runs.handle import RunHandle
from planasonix.runs.identity import read_run
from planasonix.runs.look import look
from planasonix.runs.outcome import Outcome, fetch_outcome
from planasonix.runs.record import Record
from planasonix.runs.requests import request_class
from planasonix.runs.retire import retire
from planasonix.runs.staged.steps import ended, failed, kept_in_entry, read_entry, write_entry
from planasonix.runs.staged.wish import BookSteps, StageEntry
from planasonix.watch.protocols import ENDED_PHASES


@dataclass(frozen=True)
class Followed:
    """The stage's entry, with its outcome if it has ended; None: to do, or of no plan any more.

    Of one that has not ended either the `handle` to wait for is there, or it is `doubtful`: `start` must find out.
    `unread`: its run was seen to end, and that end could not be read yet.
    """

    entry: StageEntry | None
    handle: RunHandle | None = None
    doubtful: bool = False
    unread: bool = False


@dataclass(frozen=True)
class Follow:
    """`counts_to` is the attempt to which an end that is found counts, `attempt` the one that looks."""

    policy: Policy
    now: Callable[[], float]
    attempt: str
    counts_to: str | None
    expected_tables: tuple[str, ...] = ()
    job_url_template: str | None = None

    def steps(self, name: str, entry: StageEntry, *, ours: bool) -> BookSteps[Followed]:
        """`ours`: whether the present wish asked for what the entry tells of. Raises what `retire` raises."""
        record = entry.record
        if record.run_id is None:
            if ours and record.sent_at is not None:
                return Followed(entry, doubtful=True)
            return (yield from self._retire(name, entry))
        run, missing = yield from self._look_at(record)
        if run is not None and run.phase in ENDED_PHASES:
            return (yield from self.read_end(name, entry))
        if not ours:
            return Followed(None) if missing else (yield from self._retire(name, entry))
        if missing:
            why = f"The API does not know {record.run_id} any more."
            return (yield from self._fail(name, entry, "missing", why, self.counts_to))
        if run is not None and run.phase == "cancelling" and (entry.given_up or self.counts_to != self.attempt):
            return Followed(entry, doubtful=True)
        if record.deadline_at is not None and self.now() >= record.deadline_at:
            return (yield from self._end_at_deadline(name, entry))
        return Followed(entry, RunHandle.of(record, reattached=True))

    def read_end(self, name: str, entry: StageEntry) -> BookSteps[Followed]:
        """The outcome of a run that was seen to end, made durable."""
        handle = RunHandle.of(entry.record, reattached=True)
        try:
            outcome: Outcome = yield from fetch_outcome(
                handle, expected_tables=self.expected_tables, job_url_template=self.job_url_template
            )
        except PlanasonixError as error:
            # It cannot be read just now: a later round does.
            yield Say("warning", f"{handle.kind} {handle.id} has ended and could not be read: {error}")
            return Followed(entry, handle, unread=True)
        # The end that its owner asked for is no failure of any attempt.
        asked_for = entry.given_up and outcome.status == "cancelled"
        entry = ended(entry, outcome, None if asked_for else self.counts_to)
        yield from write_entry(name, entry)
        return Followed(entry)

    def _retire(self, name: str, entry: StageEntry) -> BookSteps[Followed]:
        steps = retire(entry.record, self.policy, self.now)
        yield from kept_in_entry(steps, name, lambda record: replace(entry, record=record))
        # It may have learned which run a lost answer stood for, and that may have loaded what this wish asks for.
        found = yield from read_entry(name)
        if found is not None and found.record.run_id is not None and found.record.owned:
            run, _ = yield from self._look_at(found.record)
            if run is not None and run.phase in ENDED_PHASES:
                return (yield from self.read_end(name, found))
        return Followed(None)

    def find(self, name: str, entry: StageEntry) -> BookSteps[Followed]:
        """What became of a doubtful stage, by looking alone: nothing new may start. Raises what the look raises.

        It stays doubtful where no run, or more than one, may be that of the lost answer.
        """
        record = entry.record
        if record.run_id is not None:
            return Followed(entry, RunHandle.of(record, reattached=True))
        yield Sleep(self.policy.settle_seconds)
        steps = look(record, request_class(record.operation), self.policy)
        ours, candidates = yield from kept_in_entry(steps, name, lambda _: entry)
        step = by_looking([run.phase for run in candidates], ours=ours is not None, again=False)
        if step not in (Next.READ, Next.ADOPT):
            ids = ", ".join(run.id for run in candidates) or "there is none"
            yield Say("warning", f"the answer to the start of stage {name} was lost; what may be its run: {ids}")
            return Followed(entry, doubtful=True)
        record = record.named(candidates[0], self.now(), self.policy.timeout_seconds)
        entry = replace(entry, record=replace(record, owned=ours is not None), outcome=None, ended_in=None)
        yield from write_entry(name, entry)
        return (yield from self.steps(name, entry, ours=True))

    def _look_at(self, record: Record) -> Steps[tuple[RunView | None, bool]]:
        """(the run, or None where it could not be read; whether it is missing for so long that it is gone)."""
        try:
            return (yield from read_run(record, self.policy, self.now))
        except PlanasonixError:
            # One bad look ends nothing: whoever waits looks again.
            return None, False

    def _end_at_deadline(self, name: str, entry: StageEntry) -> BookSteps[Followed]:
        record = entry.record
        assert record.run_id is not None  # noqa: S101 - its run was just looked at
        told = "It goes on."
        if record.owned and not record.leave_running:
            try:
                status = yield from cancel(record.kind, record.run_id, meant=record)
                told = "It is another run by now." if status is None else f"It {cancelled_words(record.kind, status)}."
            except PlanasonixError as error:
                told = f"It could not be cancelled, cancel it by hand: {error}"
            run, _ = yield from self._look_at(record)
            if run is not None and run.phase == "succeeded":
                return (yield from self.read_end(name, entry))
            if run is not None and run.phase in ENDED_PHASES:
                entry = replace(entry, record=replace(record, ended_as=str(run.status)))
        return (
            yield from self._fail(name, entry, "timed_out", f"It had not ended by its deadline. {told}", self.attempt)
        )

    def _fail(self, name: str, entry: StageEntry, code: str, message: str, attempt: str | None) -> BookSteps[Followed]:
        entry = failed(entry, code, message, attempt)
        yield from write_entry(name, entry)
        return Followed(entry)
