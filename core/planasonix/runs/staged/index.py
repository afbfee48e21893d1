"""The header of a staged backfill as one round works on it: which stage stands where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from planasonix.runs.staged.steps import read_entry
from planasonix.runs.staged.wish import (
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
)


@dataclass
class Index:
    """The header, and what of it is in the book already. `numbers` are the plan's, by name; `done` those loaded."""

    asked: StagedBackfill
    intent: str
    attempt: str
    now: Callable[[], float]
    header: Header = field(init=False)
    done: set[int] = field(init=False)
    numbers: dict[str, int] = field(init=False)
    before: str | None = field(init=False)
    """The attempt that advanced last, before this one."""
    _written: Header | None = field(init=False, default=None)

    def open(self) -> BookSteps[None]:
        """Take the header up, that of an older wish or attempt included."""
        stored: dict[str, Any] | None = yield ReadEntry(HEADER)
        self._written = None if stored is None else Header.from_dict(stored)
        self.numbers = {stage.name: number for number, stage in enumerate(self.asked.stages)}
        self.header = header = header_of_wish(self.asked, self.intent, self._written, self.now())
        self.before = header.attempt
        if header.attempt != self.attempt:
            self.change(
                attempt=self.attempt, failed=(), failures_in_a_row=0, cancelled=False, stopped=False, busy_since=None
            )
        if header.plan == self.asked.plan:
            self.done = numbers_in(header.done)
        else:
            yield from self._read_all()

    def _read_all(self) -> BookSteps[None]:
        """Another plan than the header's: the entries tell what is done."""
        self.done = set()
        failed: list[str] = []
        active = list(self.header.active)
        for number, stage in enumerate(self.asked.stages):
            entry = yield from read_entry(stage.name)
            if entry is None or stage.name in active:
                continue
            if self.loaded(number, entry):
                self.done.add(number)
            elif entry.may_run:
                active.append(stage.name)
            elif self.ours(number, entry) and entry.outcome is not None and entry.ended_in == self.attempt:
                failed.append(stage.name)
        self.change(plan=self.asked.plan, active=tuple(active), failed=tuple(failed), done=ranges_of(self.done))

    def change(self, **fields: Any) -> None:
        self.header = replace(self.header, **fields)

    def keep(self) -> BookSteps[None]:
        """Make the header durable, where it has changed."""
        if self.header != self._written:
            yield WriteEntry(HEADER, self.header.to_dict())
            self._written = self.header

    def ours(self, number: int, entry: StageEntry) -> bool:
        """Whether this wish asked for what the entry tells of."""
        return (entry.wish, entry.digest) == (self.intent, self.asked.digests[number])

    def loaded(self, number: int, entry: StageEntry) -> bool:
        return entry.succeeded and (entry.epoch, entry.digest) == (self.header.epoch, self.asked.digests[number])

    def to_do(self) -> list[int]:
        taken = {*self.header.failed, *self.header.active}
        return [
            number
            for number, stage in enumerate(self.asked.stages)
            if number not in self.done and stage.name not in taken
        ]

    def activate(self, name: str) -> None:
        """The stage may have a job from now on."""
        if name not in self.header.active:
            self.change(active=(*self.header.active, name))
        self.change(outcome=None)

    def count(self, number: int, entry: StageEntry) -> None:
        """Put a stage that has ended where it belongs."""
        name = self.asked.stages[number].name
        if not entry.may_run:
            self.change(active=tuple(each for each in self.header.active if each != name))
        header = self.header
        if self.loaded(number, entry):
            self.done.add(number)
            self.change(done=ranges_of(self.done), failures_in_a_row=0)
        elif self.ours(number, entry) and entry.ended_in == self.attempt:
            cancelled = (entry.outcome or {}).get("status") == "cancelled"
            in_a_row, most = header.failures_in_a_row + 1, self.asked.stop_after_failures
            self.change(
                failed=(*header.failed, name),
                failures_in_a_row=in_a_row,
                cancelled=header.cancelled or cancelled,
                stopped=header.stopped or cancelled or (most is not None and in_a_row >= most),
            )
