"""Start one job for one intent, whatever happened before and whatever the API does (G1, G4).

`start` is a generator: it yields effects and holds no I/O. The record in the ledger is written before each POST and
completed after it, so that a process may die between any two steps and the next try goes on from what is written.

The state table. *Evidence* is what is known, *then* what start does.

====================================================================  ============================================
evidence                                                              then
====================================================================  ============================================
**the ledger**
nothing, or nothing sent                                              POST
a run id                                                              GET it, see *a GET*
sent, answer unknown; key honoured and young                          POST the same bytes with the same key
sent, answer unknown; key past its time, unproven or ignored           look: list the runs since the first POST
another intent's run, or one of another connection; owned and alive   cancel it, await its end, then as for nothing
another intent's start, answer unknown                                look for its run (`retire`): what carries its
                                                                      token, or what a replay of its young honoured
                                                                      key names, is ours: as above; else leave it
the same intent, but the request's window or tables were edited       go on with the job as it was asked for;
                                                                      `on_edit="refuse"`: raise
**the answer to the POST**
accepted, in one try                                                  wait for that run
accepted, maybe a replay (live or saved): a second try, or sent before  GET it, see *a GET*
409 busy, nothing of ours in doubt; `if_running="wait"`               busy: wait without a worker, start again
the same; `"attach"`                                                  adopt the one run of that type and window, unowned
the same; `"skip"`                                                    skipped, and say so
the same; `"fail"`                                                    raise the `ConflictError` with the run in the way
409 busy, and an earlier sending of ours in doubt                     look; where there is no run: as above
409 for a misused key (same key, other body), or a paused target      raise; never read as busy
any other 4xx, nothing in doubt                                       raise; the ledger forgets that it was sent
any other 4xx, an earlier sending in doubt                            raise; the ledger keeps key and bytes
lost: no answer, 5xx, a cut or unreadable body; key honoured          raise; the ledger keeps key and bytes
the same; key unproven or ignored                                     look
**a GET**
active                                                                wait for that run
succeeded                                                             its result is the result
succeeded, but its owner failed it in an earlier try (`verdict`)      next generation
failed or cancelled, asked for in an earlier try                      next generation: a new job, a new key
failed or cancelled, asked for in this try                            that is the result
cancelling                                                            await its end, then GET again; still so after
                                                                      five minutes: busy
404, and named less than two minutes ago                              wait for it: the watch decides
404 three times within ten seconds, and named before that in an       next generation
earlier try
a run of another connection: the id was used again                    next generation; that run is left alone
any other error, after all tries of the client                        wait for it: the watch asks on
the same, and an earlier try read that it had ended badly             next generation
**a look**, after `settle_seconds`
a run that carries our token in its metadata                          ours: GET it
no run                                                                POST
one run that no ledger claims                                         adopt it, unowned: waited for, never cancelled
several                                                               `OutcomeUnknownError` with the key
asked for in an earlier try, and only runs that failed or were        next generation: were one of them ours it would be
cancelled                                                             due, and were none ours nothing runs for us
the same, asked for less than two minutes ago, and all of them failed  busy: ours may not be listed yet
the same, and one is cancelling                                       busy: another look follows its end
the list cannot be read now                                           busy: another look follows
====================================================================  ============================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from planasonix.errors import (
    ConfigurationError,
    InvalidResponseError,
    OutcomeUnknownError,
    PlanasonixError,
    RateLimitError,
    ServerError,
    TransportError,
)
from planasonix.runs.busy import busy_run, in_the_way, nothing_to_attach_to
from planasonix.runs.decide import BAD_ENDS, BUSY, Next, Policy, by_answer, by_looking, by_memory, by_reading, classify
from planasonix.runs.effects import Post, RunView, Save, Say, Sleep, Steps
from planasonix.runs.handle import RunHandle
from planasonix.runs.identity import read_run
from planasonix.runs.intent import idempotency_key
from planasonix.runs.look import look
from planasonix.runs.provenance import Provenance
from planasonix.runs.record import Record
from planasonix.runs.requests import RunRequest
from planasonix.runs.retire import retire
from planasonix.runs.target import target_text
from planasonix.watch import Kind

_LOOKS_AT_MOST = 3
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Started:
    """What start came to.

    ``how``: `started` (a new job), `reattached` (this intent's job from an earlier try), `finished` (the same, and it
    succeeded already), `adopted` (a running job that may be somebody else's), `busy` (nothing started yet: wait for
    `busy_run_id` or a while, then start again), `skipped`. `handle` is there in the first four.
    """

    how: Literal["started", "reattached", "finished", "adopted", "busy", "skipped"]
    handle: RunHandle | None = None
    run: RunView | None = None
    busy_kind: Kind = "job"
    busy_run_id: str | None = None


@dataclass
class Start:
    """One call of start: what it was given, and the record as it stands."""

    request: RunRequest
    intent: str
    provenance: Provenance
    policy: Policy
    now: Callable[[], float]
    metadata: dict[str, object] | None = None
    _looks: int = 0
    _sent_here: bool = False
    """The first POST of the record's key is this try's: its moment is by this machine's clock."""
    _lost_here: bool = False
    """A POST of this try may have had its effect: a bad end that is found may be the result of this try."""

    def steps(self, stored: Record | None) -> Steps[Started]:
        """Run the table from what the ledger holds. Raises what the table says."""
        if stored is not None and stored.intent == self.intent and stored.sent_at is None and stored.run_id is None:
            # Refused so far: nothing is bound to the bytes that were refused.
            stored = self._fresh(generation=stored.generation, refusals=stored.refusals, like=stored)
        if stored is not None and stored.intent == self.intent and self.policy.on_edit == "refuse":
            self._refuse_if_edited(stored)
        if stored is not None and not self._is_for(stored):
            yield from retire(stored, self.policy.towards(stored.kind, asked=self.request.kind), self.now)
            stored = None
        record = stored or self._fresh(generation=0)
        if stored is not None and stored.key != self._key(stored):
            yield Say("warning", "the request was edited since it was sent: going on with the job as it was asked for")
        # A run that was attached to after a refusal has an id, and nothing of ours was sent.
        sent_before_this_try = record.sent_at is not None or record.run_id is not None
        run: RunView | None = None
        give_up_at = self.now() + min(self.policy.retire_seconds, self.policy.timeout_seconds)
        step = by_memory(run_id=record.run_id, sent_at=record.sent_at, now=self.now(), policy=self.policy)
        while True:
            if step in (Next.POST, Next.POST_AGAIN):
                record, run, step = yield from self._post(record)
            elif step is Next.READ:
                run, gone = yield from self._read(record, run)
                phase = None if run is None else run.phase
                failed_for_us = record.verdict == "failed"
                again = sent_before_this_try and not self._lost_here
                step = by_reading(phase, again=again, gone=gone, failed_for_us=failed_for_us)
            elif step is Next.AWAIT_END and self.now() < give_up_at:
                yield Sleep(_PAUSE_SECONDS)
                step = Next.READ
            elif step is Next.AWAIT_END:
                return Started("busy", busy_kind=record.kind, busy_run_id=record.run_id)
            elif step is Next.NEXT_GENERATION:
                if record.run_id is not None:
                    text = f"{record.kind} {record.run_id} of the earlier try ended badly: starting a new one"
                    yield Say("info", text)
                record = self._next_generation(record)
                sent_before_this_try = False
                step = Next.POST
            elif step is Next.LOOK:
                record, run, step = yield from self._look(record)
            elif step is Next.ATTACH:
                how = "reattached" if sent_before_this_try else "started"
                return Started(how, RunHandle.of(record, reattached=sent_before_this_try), run)
            elif step is Next.USE:
                return Started("finished", RunHandle.of(record, reattached=True), run)
            elif step is Next.ADOPT:
                return (yield from self._adopt(record, run))
            else:
                how = "skipped" if step is Next.SKIP else "busy"
                # A sync may wait behind a backfill, but what both show is a job.
                kind: Kind = "run" if record.kind == "run" else "job"
                return Started(how, busy_kind=kind, busy_run_id=run.id if run else None)

    # --- one step each ---------------------------------------------------------------------------------------------

    def _read(self, record: Record, seen: RunView | None) -> Steps[tuple[RunView | None, bool]]:
        """An API that is away says nothing of the run: failing here would leave it running with nobody to wait for it.

        One that was seen to be cancelling is no run to wait for, also while it cannot be read.
        """
        try:
            return (yield from read_run(record, self.policy, self.now))
        except ConfigurationError:
            raise
        except PlanasonixError as error:
            if record.verdict in ("failed", "cancelled"):
                return None, True
            yield Say("warning", f"{record.kind} {record.run_id} cannot be read now, and is waited for: {error}")
            return (seen if seen is not None and seen.phase == "cancelling" else None), False

    def _post(self, record: Record) -> Steps[tuple[Record, RunView | None, Next]]:
        sent_before = record.sent_at is not None
        if not sent_before:
            record = replace(record, sent_at=self.now())
            self._sent_here = True
        yield Save(record)
        retry_unknown = self.policy.key_counts(record.sent_at or self.now(), self.now())
        try:
            run, tries = yield Post(record, retry_unknown)
        except PlanasonixError as error:
            return (yield from self._not_accepted(record, error, sent_before=sent_before))
        record = self._named(record, run)
        try:
            yield Save(record)
        except Exception:
            # The job runs, and nothing will remember it: whoever reads the log must be able to find it.
            yield Say("warning", f"{record.kind} {run.id} was started, but the ledger could not be written")
            raise
        return record, run, by_answer("accepted", tries=tries, in_doubt=sent_before, policy=self.policy)

    def _not_accepted(
        self, record: Record, error: PlanasonixError, *, sent_before: bool
    ) -> Steps[tuple[Record, RunView | None, Next]]:
        tries = len(error.attempts)
        # The client says `unknown` when any of its tries may have had its effect, whatever the last answer was.
        in_doubt = sent_before or error.outcome == "unknown"
        self._lost_here = self._lost_here or error.outcome not in ("refused", "not_sent")
        answer = classify(error)
        step = by_answer(answer, tries=tries, in_doubt=in_doubt, policy=self.policy)
        run: RunView | None = None
        if step is Next.LOOK:
            yield Say("warning", "the answer to the start request was lost; looking whether it had its effect")
            record, run, step = yield from self._look(record)
            if answer != "busy" or step is not Next.POST:
                return record, run, step
            step, in_doubt = BUSY[self.policy.if_running], False
        if not in_doubt and step is not Next.LOST:
            # A definite refusal: this key created nothing, and the next POST shall not meet a saved refusal.
            record = self._fresh(generation=record.generation, refusals=record.refusals + 1, like=record)
            yield Save(record)
        if step is Next.LOST or (step is Next.REFUSED and answer != "busy"):
            raise error
        busy = yield from busy_run(error, record, self.request, self.policy, self.now, attach=step is Next.ADOPT)
        if step is Next.REFUSED:
            raise in_the_way(error, busy)
        if step is Next.ADOPT and busy is None:
            raise nothing_to_attach_to(self.request) from error
        return record, busy, step

    def _look(self, record: Record) -> Steps[tuple[Record, RunView | None, Next]]:
        self._looks += 1
        if self._looks > _LOOKS_AT_MOST:
            raise self._unknown(record, f"every answer was lost, and no list shows a {record.kind}")
        # A request whose answer was lost may still be on its way, also that of a process that was killed a moment ago.
        yield Sleep(self.policy.settle_seconds)
        try:
            ours, candidates = yield from look(record, self.request, self.policy, own_clock=self._sent_here)
        except (TransportError, ServerError, RateLimitError, InvalidResponseError) as error:
            # Failing here would leave the job, if there is one, running with nobody to wait for it.
            yield Say("warning", f"whether it was started cannot be seen now, another look follows: {error}")
            return record, None, Next.WAIT_FOR_OTHER
        again = not self._lost_here
        young = self.now() - (record.sent_at or 0.0) < self.policy.missing_after_seconds
        step = by_looking([run.phase for run in candidates], ours=ours is not None, again=again, young=young)
        if step is Next.NEXT_GENERATION:
            ids = tuple(run.id for run in candidates)
            text = (
                f"the {record.kind} of the earlier try may be {' or '.join(ids)}, which ended badly: starting a new one"
            )
            yield Say("info", text)
            return replace(record, passed_ids=(*record.passed_ids, *ids)), None, step
        candidates = [run for run in candidates if not again or run.phase not in BAD_ENDS]
        if step is Next.UNKNOWN:
            ids = ", ".join(run.id for run in candidates)
            raise self._unknown(record, f"{len(candidates)} {record.kind}s were started since: {ids}")
        if ours is not None:
            record = self._named(record, ours)
            yield Save(record)
            return record, ours, step
        if step is Next.WAIT_FOR_OTHER and not candidates:
            yield Say("info", f"the {record.kind} of the earlier try may not be listed yet: another look follows")
        return record, candidates[0] if candidates and step in (Next.ADOPT, Next.WAIT_FOR_OTHER) else None, step

    def _adopt(self, record: Record, run: RunView | None) -> Steps[Started]:
        assert run is not None  # noqa: S101 - ADOPT always comes with the run to adopt
        record = replace(self._named(record, run), owned=False)
        yield Save(record)
        yield Say("warning", f"waiting for {run.id}, which may be somebody else's: it will not be cancelled from here")
        return Started("adopted", RunHandle.of(record, reattached=True), run)

    # --- records ---------------------------------------------------------------------------------------------------

    def _refuse_if_edited(self, record: Record) -> None:
        if not self._is_for(record) or record.key != self._key(record):
            raise ConfigurationError(
                f"intent {self.intent!r} stands in this ledger slot for another request: a {record.operation} of "
                f"{target_text(record.kind, record.target_id)}.",
                field="ledger",
                hint="Use one slot for each request, or another intent.",
            )

    def _is_for(self, record: Record) -> bool:
        """Whether the record is this intent's, for this operation and target."""
        ours = (self.intent, self.request.operation, self.request.target_id)
        return (record.intent, record.operation, record.target_id) == ours

    def _key(self, record: Record) -> str:
        """The key that the request as it is now would have in the record's place."""
        return idempotency_key(record.intent, record.generation, self.request, refusals=record.refusals)

    def _fresh(self, *, generation: int, refusals: int = 0, like: Record | None = None) -> Record:
        return Record.fresh(
            self.intent,
            self.request,
            self.provenance.metadata(self.intent, generation, self.metadata),
            generation=generation,
            refusals=refusals,
            depth=self.provenance.depth,
            earlier_ids=() if like is None else like.earlier_ids,
            passed_ids=() if like is None else like.passed_ids,
            leave_running=self.policy.leave_running,
        )

    def _next_generation(self, record: Record) -> Record:
        earlier = record.earlier_ids if record.run_id is None else (*record.earlier_ids, record.run_id)
        return replace(self._fresh(generation=record.generation + 1, like=record), earlier_ids=earlier)

    def _named(self, record: Record, run: RunView) -> Record:
        return record.named(run, self.now(), self.policy.timeout_seconds)

    def _unknown(self, record: Record, why: str) -> OutcomeUnknownError:
        target = target_text(record.kind, record.target_id)
        return OutcomeUnknownError(
            f"It is not known whether the {self.request.job_type} of {target} was started: {why}.",
            idempotency_key=record.key,
            hint=f"Nothing more was sent, so that no second {record.kind} starts. Look at the {record.kind}s of the "
            f"{target}, cancel what is not wanted, then clear the task for a new start.",
        )
