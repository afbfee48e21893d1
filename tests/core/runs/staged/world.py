"""An API with backfills, a book and a clock in memory, for the rounds of staged backfills.

The world judges by what it knows itself: which intent, generation and epoch each backfill was created for.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from planasonix.errors import ConflictError, NotFoundError, PlanasonixError, TransportError
from planasonix.runs import Policy, Provenance, StagedBackfill, StagedProgress
from planasonix.runs import effects as fx
from planasonix.runs.bounded import Together
from planasonix.runs.metadata_names import GENERATION, INTENT
from planasonix.runs.staged.cancel import cancel_active
from planasonix.runs.staged.result import StagedOutcome, read_outcome
from planasonix.runs.staged.round import Advance
from planasonix.runs.staged.wish import HEADER, ClaimedBesides, ReadEntry, WriteEntry
from tests.core.runs.staged.parts import Killed, Made, Shown, attempts

CANCEL_SECONDS = 3.0


@dataclass
class StagedWorld:
    """`keys`: `honoured` or `ignored`. `fates` of the coming POSTs: `ok`, `lost_before`, `lost_after`; then all well.

    A round dies at its effect number `crash_at`, or at its first one of the type; `inside`: once it had its effect.
    """

    keys: str = "honoured"
    echoes: bool = False
    parallel: int = 1
    now: float = 1_800_000_000.0
    fates: list[str] = field(default_factory=list)
    runs: dict[str, Shown] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    owned: set[str] = field(default_factory=set)
    kept: dict[str, set[str]] = field(default_factory=dict)
    """Of each stage: the runs that its entry has named since it was last asked for otherwise."""
    broken: set[str] = field(default_factory=set)
    """Runs one of whose tables fails, whatever becomes of them."""
    cancelling_until: dict[str, float] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    wanted: frozenset[tuple[str, str]] = frozenset()
    """Wish and digest of the stages that are asked for: nobody may cancel their backfills while `protected`."""
    protected: bool = False

    # --- what a test does ------------------------------------------------------------------------------------------

    def advance(
        self,
        asked: StagedBackfill,
        *,
        intent: str = "wish-1",
        attempt: str = "try-1",
        crash_at: int | type | None = None,
        inside: bool = False,
        **policy: Any,
    ) -> StagedProgress:
        rules = Policy(**{"settle_seconds": 0.5, **policy})
        self.wanted = frozenset((intent, digest) for digest in asked.digests)
        self.protected = True
        advance = Advance(asked, intent, attempt, Provenance("test", "a test"), rules, lambda: self.now)
        try:
            return self.perform(advance.steps(), crash_at=crash_at, inside=inside)
        finally:
            self.protected = False

    def cancel(self, **options: Any) -> list[str]:
        return self.perform(cancel_active(Policy(settle_seconds=0.5), lambda: self.now, **options))

    def outcome(self, asked: StagedBackfill, intent: str = "wish-1") -> StagedOutcome:
        return self.perform(read_outcome(asked, intent))

    def end(self, run_id: str, status: str = "completed") -> None:
        run = self.runs[run_id]
        self.cancelling_until.pop(run_id, None)
        self.runs[run_id] = replace(run, status=status, finished_at=datetime.fromtimestamp(self.now, UTC))

    def end_all(self, status: str = "completed") -> None:
        for run in self.live():
            self.end(run.id, status)

    def foreign(self) -> Shown:
        """Somebody else starts a backfill of a window that is none of ours."""
        window = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC))
        return self._add(window, None, None, Made(None))

    def live(self) -> list[Shown]:
        return [run for run in self.runs.values() if run.phase in ("active", "cancelling")]

    def of_stage(self, asked: StagedBackfill, number: int) -> list[Shown]:
        """Our backfills of a stage's window, oldest first."""
        start = asked.stages[number].start_at
        return [run for run in self.runs.values() if run.start_at == start and self.made[run.id].intent is not None]

    @property
    def posts(self) -> int:
        return self.trace.count("POST")

    # --- the driver --------------------------------------------------------------------------------------------------

    def perform(
        self, steps: Generator[Any, Any, Any], *, crash_at: int | type | None = None, inside: bool = False
    ) -> Any:
        count = 0
        try:
            effect = next(steps)
            while True:
                if crash_at in (count, type(effect)):
                    if inside:
                        self._quietly(effect)
                    raise Killed
                count += 1
                try:
                    answer = self.do(effect)
                except PlanasonixError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration as end:
            return end.value

    def _quietly(self, effect: Any) -> None:
        try:
            self.do(effect)
        except PlanasonixError:
            return

    def do(self, effect: Any) -> Any:
        match effect:
            case ReadEntry(name):
                return self.entries.get(name)
            case WriteEntry(name, entry):
                before = self.entries.get(name, {})
                if entry.get("digest") != before.get("digest"):
                    self.kept[name] = set()
                elif entry.get("run_id") and entry["owned"]:
                    self.kept[name].add(entry["run_id"])
                self.entries[name] = json.loads(json.dumps(entry))
                if entry.get("run_id"):
                    (self.owned.add if entry["owned"] else self.owned.discard)(entry["run_id"])
            case ClaimedBesides(run_ids, name):
                others = [entry for key, entry in self.entries.items() if key != name and entry.get("owned")]
                return frozenset(run_ids) & {entry.get("run_id") for entry in others}
            case fx.Post(record, retry_unknown):
                return self._post(record, retry_unknown)
            case fx.Get(_, run_id):
                self.trace.append("GET")
                return self._show(run_id)
            case fx.ListSince(kind, _, _, since):
                rows = [run for run in self.runs.values() if run.created_at.timestamp() >= since]
                return fx.Listed([self._show(run.id) for run in rows] if kind == "backfill" else [], 0.0)
            case fx.Cancel(_, run_id):
                return self._cancel(run_id)
            case fx.Results(job_id):
                status = "failed" if job_id.removeprefix("job-of-") in self.broken else None
                table = SimpleNamespace(name="public.orders", rows_loaded=10, checksum="c", status=status)
                warning = SimpleNamespace(code="late_rows", message="some rows came late")
                return SimpleNamespace(
                    job_id=job_id, status="completed", phase="succeeded", tables=[table], warnings=[warning]
                )
            case Together(many):
                return [self._together(make()) for make in many]
            case fx.Sleep(seconds):
                self.pass_time(seconds)
            case fx.Say(_, text):
                self.said.append(text)
            case _:
                raise AssertionError(f"not an effect: {effect!r}")
        return None

    def _together(self, steps: Any) -> Any:
        try:
            return self.perform(steps)
        except PlanasonixError as error:
            return error

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for run_id in [run_id for run_id, until in self.cancelling_until.items() if until <= self.now]:
            self.end(run_id, "cancelled")

    # --- the API -----------------------------------------------------------------------------------------------------

    def _show(self, run_id: str) -> Shown:
        if run_id not in self.runs:
            raise NotFoundError("no such backfill", status_code=404)
        run = self.runs[run_id]
        return run if self.echoes else replace(run, metadata=None)

    def _cancel(self, run_id: str) -> Shown:
        made = self.made[run_id]
        self.trace.append("CANCEL")
        assert made.wish is not None, "somebody else's backfill was cancelled"
        assert not (self.protected and (made.wish, made.digest) in self.wanted), "a stage of this wish was cancelled"
        if self.runs[run_id].phase == "active":
            self.runs[run_id] = replace(self.runs[run_id], status="canceling")
            self.cancelling_until[run_id] = self.now + CANCEL_SECONDS
        return self.runs[run_id]

    def _post(self, record: Any, retry_unknown: bool) -> tuple[Shown, int]:
        for attempt in range(1, 4):
            fate = self.fates.pop(0) if self.fates else "ok"
            if fate != "lost_before":
                try:
                    run = self._accept(record)
                except ConflictError as error:
                    if attempt > 1:
                        error.outcome = "unknown"
                    raise
                if fate == "ok":
                    return self._show(run.id), attempt
            if not retry_unknown:
                raise TransportError("no answer", outcome="unknown", attempts=attempts(attempt))
        raise TransportError("no answer", outcome="unknown", attempts=attempts(3))

    def _accept(self, record: Any) -> Shown:
        self.trace.append("POST")
        if self.keys == "honoured" and record.key in self.by_key:
            return self.runs[self.by_key[record.key]]
        if len(self.live()) >= self.parallel:
            raise ConflictError("busy", status_code=409, attempts=attempts(1))
        body = json.loads(record.body)
        made = self._made(record, body)
        self._judge(made)
        window = (datetime.fromisoformat(body["start_at"]), datetime.fromisoformat(body["end_at"]))
        run = self._add(window, body.get("tables"), body["metadata"], made)
        self.by_key[record.key] = run.id
        return run

    def _made(self, record: Any, body: dict[str, Any]) -> Made:
        metadata = body["metadata"]
        entry = self.entries[metadata["stage"]]
        assert entry["key"] == record.key, "a POST must be written down before it is sent"
        assert entry["epoch"] == self.entries[HEADER]["epoch"]
        assert metadata["stage"] in self.entries[HEADER]["active"], "the header must know what may have a job"
        return Made(
            metadata[INTENT], metadata[GENERATION], entry["wish"], entry["epoch"], entry["digest"], metadata["stage"]
        )

    def _judge(self, made: Made) -> None:
        """One job for each intent and generation; what an epoch has loaded and the book knew of is loaded once.

        Unless the stage was asked for otherwise in between.
        """
        assert (made.intent, made.generation) not in {(old.intent, old.generation) for old in self.made.values()}
        for run_id in self.kept[made.stage or ""]:
            done = (self.made[run_id].epoch, self.runs[run_id].phase) == (made.epoch, "succeeded")
            assert not done or run_id in self.broken, "a stage that is done was started again"

    def _add(self, window: Any, tables: Any, metadata: dict[str, Any] | None, made: Made) -> Shown:
        run_id = f"bf_{len(self.runs) + 1}"
        names = None if tables is None else tuple(tables)
        created = datetime.fromtimestamp(self.now, UTC)
        self.runs[run_id] = Shown(run_id, "running", *window, created, names, metadata)
        self.made[run_id] = made
        return self.runs[run_id]
