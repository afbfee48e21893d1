"""What no process was alive to do (G2): the rules that find runs without an owner, and runs whose end nobody saw.

`examine` judges one ledger entry and only reads; `put_right` cancels what it found, after the owner was asked again.
Both are generators without I/O. G3 beats G2: in doubt a run is left, and the finding says why.

====================================================================  ============================================
the entry and its owner                                               finding
====================================================================  ============================================
nothing was sent, or the owner has read the end (`ended_as`)          `settled`; no call
owner alive or unknown, or ended less than the grace ago              `left`; no call
`leave_running` (fire and forget, cancel_on_kill=False)               `left`; no call
not owned: it may be somebody else's                                  `left`; no call
**the run that the entry names**
active                                                                `orphan`: cancel it
cancelling                                                            `left`: somebody asked already
cancelled                                                             `settled`
succeeded, failed                                                     `ended_unseen`, with the outcome in a line
not found, or a run of another connection, another time or intent     `left`
cannot be read                                                        `unreadable`: a human must look
**no run id, but a POST went out: its answer was lost, look**
a run carries our token                                               ours: as above
runs that may be ours, some still alive                               `outcome_unknown`, with their ids; never
                                                                      cancelled; a human must look
the same, all of them ended                                           `outcome_unknown`, for the record
none                                                                  `nothing_started`
**runs of earlier generations; they had ended, or could not be found**
ended, or still not found                                             nothing
alive, and carries our token                                          `orphan`: cancel it
alive, no token to be seen                                            `outcome_unknown`; never cancelled
alive, but of another connection, or created after the present run    nothing: another run of the same id
====================================================================  ============================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from planasonix.errors import AuthenticationError, ConfigurationError, NotFoundError, PlanasonixError
from planasonix.models.status import phase_of
from planasonix.runs.cancel import cancel
from planasonix.runs.decide import Policy
from planasonix.runs.effects import Get, RunView, Steps
from planasonix.runs.handle import RunHandle
from planasonix.runs.identity import is_another
from planasonix.runs.look import look, token_of
from planasonix.runs.outcome import fetch_outcome
from planasonix.runs.reconcile.findings import Action, Entry, Finding, FindingKind
from planasonix.runs.reconcile.times import is_of_another_time, may_be_earlier
from planasonix.runs.record import Record
from planasonix.runs.reporting import headline
from planasonix.runs.requests import request_class
from planasonix.runs.target import target_text
from planasonix.watch.protocols import ENDED_PHASES

_LATE_SECONDS = 3600.0
"""A request whose answer was lost is not delivered later than this: later runs of the connection are others'."""
_LOOK = Policy()
"""A look here is one of *start*, long after."""


@dataclass(frozen=True)
class Examination:
    """The rules of the table, with what they need to know. `now` gives seconds since the epoch."""

    now: Callable[[], float]
    grace_seconds: float = 60.0
    job_url_template: str | None = None

    def examine(self, entry: Entry) -> Steps[list[Finding]]:
        """The findings of one entry: one for its run, and one for each earlier run of the intent that lives on.

        Raises `AuthenticationError`: then nothing can be found out about any entry.
        """
        settled = _settled(entry.record)
        reason = self._why_left(entry)
        if settled is not None and (reason is not None or not entry.record.earlier_ids):
            return [self._finding("settled", entry, settled)]
        if reason is not None:
            return [self._finding("left", entry, reason)]
        earlier = yield from self._earlier(entry)
        if settled is not None:
            return [self._finding("settled", entry, settled), *earlier]
        if not entry.record.owned:
            main = self._finding("left", entry, "it may be somebody else's: it was only waited for.")
        elif entry.record.run_id is not None:
            main = yield from self._named(entry, entry.record.run_id)
        else:
            main = yield from self._lost(entry)
        return [main, *earlier]

    def put_right(
        self, entry: Entry, again: Entry | None, orphan: Finding, *, patience_seconds: float = 30.0
    ) -> Steps[Finding]:
        """Cancel the orphan, unless its owner, asked `again`, has changed meanwhile; None: the entry is gone.

        With a `patience_seconds` of 0 a backfill is only asked to stop, and `await_end` goes on from there.
        """
        if again is None or again.owner != "ended" or again.record != entry.record:
            word = "gone" if again is None else again.owner_text
            return replace(
                orphan, kind="left", action="none", sentence=f"{_name(orphan)} is left: its owner changed ({word})."
            )
        return (yield from self.await_end(entry, orphan, patience_seconds=patience_seconds))

    def await_end(self, entry: Entry, orphan: Finding, *, patience_seconds: float) -> Steps[Finding]:
        """Cancel the orphan, whose owner was just asked."""
        assert orphan.run_id is not None  # noqa: S101 - an orphan always names its run
        try:
            status = yield from cancel(entry.record.kind, orphan.run_id, patience_seconds=patience_seconds)
        except PlanasonixError as error:
            text = f"{_name(orphan)} could not be cancelled: {error.headline()}"
            return replace(orphan, action="not_cancelled", needs_human=True, sentence=text)
        phase = phase_of(status, ended=False)
        if phase in ("succeeded", "failed"):
            text = f"{_name(orphan)} {status} before it could be cancelled; {_owner_is(entry)}."
            return replace(orphan, kind="ended_unseen", action="none", status=status, sentence=text)
        if entry.record.kind == "backfill" and phase not in ENDED_PHASES:
            # Its jobs were told to stop, and it may start others.
            text = f"{_name(orphan)} was asked to stop and is still {status}: run reconcile again."
            return replace(orphan, action="not_cancelled", needs_human=True, status=status, sentence=text)
        text = f"{_name(orphan)} was cancelled (it is {status}): {_owner_is(entry)}."
        return replace(orphan, action="cancelled", status=status, sentence=text)

    # --- one part of the table each -------------------------------------------------------------------------------

    def _why_left(self, entry: Entry) -> str | None:
        if entry.owner != "ended":
            return f"{_owner_is(entry)}."
        if entry.ended_at is not None and self.now() - entry.ended_at < self.grace_seconds:
            return f"{_owner_is(entry)}, since less than {self.grace_seconds:g} s: its own cancel may be at work."
        if entry.record.leave_running:
            return "its owner does not want it cancelled, or has started it and never waited for it."
        return None

    def _named(self, entry: Entry, run_id: str) -> Steps[Finding]:
        try:
            run: RunView = yield Get(entry.record.kind, run_id)
        except NotFoundError:
            return self._finding("left", entry, "it is not found with this key: gone, or of another organization.")
        except (AuthenticationError, ConfigurationError):
            raise
        except PlanasonixError as error:
            text = f"it could not be read: {error.headline()}"
            return self._finding("unreadable", entry, text, needs_human=True)
        return (yield from self._judged(entry, run))

    def _judged(self, entry: Entry, run: RunView) -> Steps[Finding]:
        if is_another(run, entry.record):
            return self._finding("left", entry, "a run of this id belongs to another connection or pipeline.", run)
        if is_of_another_time(entry.record, run):
            text = "a run of this id was created at another time: ids were used again, or the tenant is another."
            return self._finding("left", entry, text, run)
        if token_of(run) not in (None, entry.record.intent):
            return self._finding("left", entry, "it carries the token of another intent.", run)
        if run.phase == "active":
            text = f"{_owner_is(entry)}, and it is still {run.status}."
            return self._finding("orphan", entry, text, run, action="would_cancel")
        if run.phase == "cancelling":
            return self._finding("left", entry, "somebody has asked for its cancellation already.", run)
        if run.phase == "cancelled":
            return self._finding("settled", entry, "it was cancelled.", run)
        outcome = f"it {run.status}."
        handle = _handle(entry.record, run)
        try:
            told = yield from fetch_outcome(handle, job_url_template=self.job_url_template)
            outcome = headline(told)
        except PlanasonixError:
            # How it ended is known; what it loaded is for whoever looks it up.
            pass
        return self._finding("ended_unseen", entry, f"{_owner_is(entry)}, and nobody saw its end: {outcome}", run)

    def _lost(self, entry: Entry) -> Steps[Finding]:
        """The answer to the POST never came: look, as a next try of the owner would."""
        try:
            sent = json.loads(entry.record.body)
            request = request_class(entry.record.operation).from_body(entry.record.target_id, sent)
            ours, runs = yield from look(entry.record, request, _LOOK, within_seconds=_LATE_SECONDS)
        except AuthenticationError:
            raise
        except (PlanasonixError, ValueError, KeyError, TypeError) as error:
            why = error.headline() if isinstance(error, PlanasonixError) else repr(error)
            text = f"the answer to its start was lost, and looking for the run failed: {why}"
            return self._finding("unreadable", entry, text, needs_human=True)
        if ours is not None:
            return (yield from self._judged(entry, ours))
        if not runs:
            text = "the answer to its start was lost, and no run was started."
            return self._finding("nothing_started", entry, text)
        alive = [run for run in runs if run.phase not in ENDED_PHASES]
        names = ", ".join(f"{run.id} ({run.status})" for run in runs)
        text = f"{_owner_is(entry)}, the answer to its start was lost, and these may be its run: {names}."
        if alive:
            text += " None is cancelled from here: look whose they are."
        found = self._finding("outcome_unknown", entry, text, needs_human=bool(alive))
        return replace(found, candidates=tuple(run.id for run in runs))

    def _earlier(self, entry: Entry) -> Steps[list[Finding]]:
        """Runs of earlier generations were left for dead: one that was not found then may be alive after all."""
        findings: list[Finding] = []
        for run_id in entry.record.earlier_ids:
            try:
                run: RunView = yield Get(entry.record.kind, run_id)
            except AuthenticationError:
                raise
            except PlanasonixError:
                continue
            if run.phase != "active" or not may_be_earlier(entry.record, run):
                continue
            if token_of(run) == entry.record.intent:
                text = f"{_owner_is(entry)}, and this run of its earlier try is still {run.status}."
                findings.append(self._finding("orphan", entry, text, run, action="would_cancel"))
            else:
                text = f"this run of an earlier try is {run.status}, and may have been adopted: look whose it is."
                found = self._finding("outcome_unknown", entry, text, run, needs_human=True)
                findings.append(replace(found, candidates=(run_id,)))
        return findings

    def _finding(
        self,
        kind: FindingKind,
        entry: Entry,
        text: str,
        run: RunView | None = None,
        *,
        action: Action = "none",
        needs_human: bool = False,
    ) -> Finding:
        record = entry.record
        run_id = record.run_id if run is None else run.id
        bare = Finding(
            kind=kind,
            slot=entry.slot,
            sentence="",
            action=action,
            needs_human=needs_human,
            owner=entry.owner,
            owner_text=entry.owner_text,
            owner_link=entry.link,
            run_kind=record.kind,
            run_id=run_id,
            run_link=None if run_id is None else _handle(record, run, run_id).link(self.job_url_template),
            connection_id=record.connection_id,
            pipeline_id=record.pipeline_id,
            status=None if run is None or run.status is None else str(run.status),
        )
        return replace(bare, sentence=f"{_name(bare)}: {text}")


def _settled(record: Record) -> str | None:
    if record.ended_as is not None:
        return f"its owner has seen its end ({record.ended_as})."
    if record.run_id is None and record.sent_at is None:
        return "nothing was sent."
    return None


def _handle(record: Record, run: RunView | None, run_id: str = "") -> RunHandle:
    created = record.created_at or record.sent_at or 0.0
    return RunHandle(
        kind=record.kind,
        id=run_id if run is None else run.id,
        target_id=record.target_id,
        owned=record.owned,
        created_at=created,
        deadline_at=record.deadline_at or created,
        intent=record.intent,
        generation=record.generation,
        reattached=True,
    )


def _name(finding: Finding) -> str:
    what = f"{finding.run_kind} {finding.run_id}" if finding.run_id else f"{finding.run_kind} (no id)"
    return f"{what} of {target_text(str(finding.run_kind), str(finding.pipeline_id or finding.connection_id))}"


def _owner_is(entry: Entry) -> str:
    return f"{entry.slot} is {entry.owner_text}"
