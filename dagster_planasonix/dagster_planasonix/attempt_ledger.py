"""One execution's view of the ledger: which wish it serves, what was asked for it, and where to write the next line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dagster_planasonix._compat import has_step_succeeded, is_run_retry
from dagster_planasonix.intent import Slot, Written, wish_of
from dagster_planasonix.ledger import TOLD, LedgerEntry, Owner, observation, owned_elsewhere, slot_entries
from dagster_planasonix.shown import shown_of
from planasonix.runs import Record

if TYPE_CHECKING:
    from dagster_planasonix.book import StepBook

_SKEW_SECONDS = 3600.0
"""How much earlier than our first POST another step may have written what it owns: clocks of workers differ."""


class StepLedger:
    """The slot of one request of one step, as the run engine wants it; `intent` is the token of its wish.

    `before_start` is called before each POST, and may raise; `settled` after each entry that awaits no answer.
    Writes nothing before the first POST. Raises what the event log raises, and `ConfigurationError` for an entry that
    is damaged.
    """

    def __init__(
        self,
        context: Any,
        owner: Owner,
        slot: Slot,
        *,
        job_url_template: str | None = None,
        before_start: Callable[[], None] = lambda: None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self.owner = owner
        self.slot = slot
        self._context = context
        self._job_url_template = job_url_template
        self._before_start = before_start
        self._settled = settled
        entries = [entry for entry in slot_entries(context.instance, slot.name) if entry.record is not None]
        self.intent, number = wish_in(context.instance, owner, slot, entries)
        self._record = None if number is None else entries[number].record

    def read(self) -> Record | None:
        return self._record

    def write(self, record: Record) -> None:
        """Returns once the event log has it. Raises what `before_start` says where a start comes next."""
        asks = record.run_id is None and record.sent_at is not None
        if asks:
            self._before_start()
        text, shown = shown_of(record, self.owner, self._job_url_template)
        entry = record.to_dict()
        self._record = record
        self._context.log_event(observation(self.slot.name, self.owner, entry, description=text, shown=shown))
        if not asks:
            self._settled()

    def note_told(self) -> None:
        """All events of the request were taken from the step: who re-executes its run wants new ones."""
        record = self._record
        if record is not None and record.intent == self.intent:
            text, shown = shown_of(record, self.owner, self._job_url_template)
            entry = {**record.to_dict(), TOLD: True}
            self._context.log_event(observation(self.slot.name, self.owner, entry, description=text, shown=shown))

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        """Those that other steps of this Dagster instance own."""
        since = None if self._record is None else self._record.sent_at
        return owned_elsewhere(
            self._context.instance,
            run_ids,
            slot=self.slot.name,
            since=None if since is None else since - _SKEW_SECONDS,
        )


def note_told(ledgers: Iterable[StepLedger | StepBook], log: Callable[[str, str], None]) -> None:
    """Note it in each. How the step ends does not hang on that note: raises nothing."""
    for ledger in ledgers:
        try:
            ledger.note_told()
        except Exception as error:
            log("warning", f"that the events were told could not be noted: {error!r}")


def wish_in(instance: Any, owner: Owner, slot: Slot, entries: list[LedgerEntry]) -> tuple[str, int | None]:
    """(the token of the wish that this execution serves, the number of the entry to go on from)."""
    lineage = [owner.run_id]
    if any(entry.owner.run_id != owner.run_id for entry in entries):
        lineage = lineage_of(instance, owner.run_id)
    return wish_of(
        slot,
        lineage,
        [Written(entry.owner.run_id, entry.intent, TOLD in entry.entry) for entry in entries],
        lambda run_id: has_step_succeeded(instance, run_id, slot.step_key),
        is_run_retry=len(lineage) > 1 and is_run_retry(instance, owner.run_id),
    )


def lineage_of(instance: Any, run_id: str) -> list[str]:
    """The run, its parent, and so on: as far as Dagster still has them."""
    lineage = [run_id]
    while (run := instance.get_run_by_id(lineage[-1])) is not None and run.parent_run_id:
        if run.parent_run_id in lineage:
            break
        lineage.append(run.parent_run_id)
    return lineage
