"""The book of a staged backfill in Dagster's event log: the wish, and an entry for each stage, each in its own slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from dagster_planasonix.attempt_ledger import wish_in
from dagster_planasonix.intent import Slot
from dagster_planasonix.ledger import TOLD, Owner, newest_entry, observation, owned_elsewhere, slot_entries
from dagster_planasonix.shown import shown_of
from planasonix.runs import Record

HEADER = "wish"
_SKEW_SECONDS = 3600.0


class StepBook:
    """The entries of one staged backfill of one step; `intent` is the token of its wish.

    `slot` names the backfill as a whole; an entry stands under that with its own name added to the part. What was read
    or written once is kept: no other process works on the slots of a living step. `before_start` is called before each
    POST, and may raise; `settled` after each entry of a stage that awaits no answer.
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
        self._context = context
        self._owner = owner
        self._slot = slot
        self._job_url_template = job_url_template
        self._before_start = before_start
        self._settled = settled
        header = self._slot_of(HEADER)
        entries = [each for each in slot_entries(context.instance, header.name) if each.record is None]
        self.intent, number = wish_in(context.instance, owner, header, entries)
        self._kept: dict[str, dict[str, Any] | None] = {HEADER: None if number is None else entries[number].entry}
        # Without a wish no stage was ever asked for.
        self._is_new = number is None

    def read(self, name: str) -> dict[str, Any] | None:
        if name not in self._kept:
            found = None if self._is_new else newest_entry(self._context.instance, self._slot_of(name).name)
            self._kept[name] = None if found is None else found.entry
        return self._kept[name]

    def write(self, name: str, entry: dict[str, Any]) -> None:
        """Returns once the event log has it. Raises what `before_start` says where a start comes next."""
        is_stage = "operation" in entry
        asks = is_stage and _asks(entry)
        if asks:
            self._before_start()
        self._kept[name] = entry
        owner = replace(self._owner, part=self._slot_of(name).part)
        text, shown = self._shown(name, entry, owner) if is_stage else (self._header_text(entry), {})
        self._context.log_event(observation(self._slot_of(name).name, owner, entry, description=text, shown=shown))
        if is_stage and not asks:
            self._settled()

    def note_told(self) -> None:
        """All events of the backfill were taken from the step: who re-executes its run wants new ones."""
        header = self.read(HEADER)
        if header is not None and header.get("intent") == self.intent:
            self.write(HEADER, {**header, TOLD: True})

    def claimed(self, run_ids: Iterable[str], *, besides: str) -> frozenset[str]:
        sent = [entry["sent_at"] for entry in self._kept.values() if entry and entry.get("sent_at")]
        since = min(sent) - _SKEW_SECONDS if sent else None
        slot = self._slot_of(besides).name
        return owned_elsewhere(self._context.instance, run_ids, slot=slot, since=since)

    def _slot_of(self, name: str) -> Slot:
        return replace(self._slot, part=f"{self._slot.part}/{name}" if self._slot.part else name)

    def _shown(self, name: str, entry: dict[str, Any], owner: Owner) -> tuple[str, dict[str, Any]]:
        text, shown = shown_of(Record.from_dict(entry), owner, self._job_url_template)
        return f"stage {name}, {text}", {"planasonix/stage": name, **shown}

    def _header_text(self, header: dict[str, Any]) -> str:
        active, failed = len(header.get("active") or ()), len(header.get("failed") or ())
        state = header.get("outcome") or f"{active} stages active, {failed} failed"
        return f"backfill in stages of {self._slot.target_id}: {state}"


def _asks(entry: dict[str, Any]) -> bool:
    """Whether a POST comes after this entry: not after one that tells what became of the stage."""
    sent = entry.get("sent_at") is not None and entry.get("run_id") is None
    return sent and entry.get("outcome") is None and not entry.get("given_up")
