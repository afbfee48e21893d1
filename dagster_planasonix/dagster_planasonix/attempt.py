"""One execution of a step: from a request to its job's end, whatever happened before and whoever interrupts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix._compat import code_location_of, run_of, step_key_of
from dagster_planasonix.attempt_ledger import StepLedger, note_told
from dagster_planasonix.calls import numbered_part
from dagster_planasonix.causes import Chain
from dagster_planasonix.inbox import inbox_url_of
from dagster_planasonix.intent import Slot
from dagster_planasonix.ledger import Owner
from dagster_planasonix.partitions import partitions_of
from dagster_planasonix.provenance import provenance_of, run_link
from dagster_planasonix.termination import CANCEL_SECONDS, Interrupts, refuse_to_start, verdict_on
from dagster_planasonix.waking import woken_by
from dagster_planasonix.watching import ASK_SECONDS, Listener
from planasonix.errors import WaitTimeoutError
from planasonix.runs import (
    Outcome,
    Policy,
    Record,
    RunHandle,
    RunRequest,
    Story,
    end_at_deadline,
    find_lost_run,
    give_up,
    outcome_of,
    start_run,
    told,
    wait_for_run,
    wait_while_busy,
)
from planasonix.runs.start_words import busy_text, busy_too_long, skipped_text, started_text
from planasonix.watch import Interval

if TYPE_CHECKING:
    from dagster_planasonix.book import StepBook
    from dagster_planasonix.staged_attempt import StagedRun
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix import Planasonix
    from planasonix.runs import Provenance, StagedBackfill


class Attempt:
    """What a step does for the requests of one connection.

    `context` is the step's, of an asset or an op; `asset_keys` the assets that it is to load, and none for a plain op.

        attempt = Attempt(context, workspace, asset_keys=context.selected_asset_keys, connection_name="shop")
        outcome = attempt.run(SyncRequest("conn_shop_orders"))
    """

    def __init__(
        self,
        context: Any,
        workspace: PlanasonixWorkspace,
        *,
        asset_keys: Sequence[dg.AssetKey] = (),
        connection_name: str | None = None,
    ) -> None:
        self.context = context
        self.workspace = workspace
        self._asset_keys = tuple(sorted(key.to_user_string() for key in asset_keys))
        self._connection_name = connection_name
        self.inbox_url = inbox_url_of(workspace)
        self.ledgers: list[StepLedger | StepBook] = []  # of the requests that came to an end, good or bad

    def run(self, request: RunRequest, *, part: str = "") -> Outcome | None:
        """Start the request's job, or find the one that runs already, and wait for its end, good or bad.

        `part` tells several requests of one step for the same connection apart; those of one part are counted. Returns
        the outcome of any end, None where the connection was busy and `if_running` is `skip`. Raises `WaitTimeoutError`
        past the deadline, having cancelled the job; the client's errors; and `dagster.Failure` where the run is being
        terminated. An interrupt passes through: the job is cancelled if a user asked for the run's end, else goes on.
        """
        with numbered_part(self.context, request.target_id, part) as own, woken_by(self.inbox_url):
            return _Execution(self, request, own, waits=True).run()

    def start(self, request: RunRequest, *, part: str = "") -> RunHandle | None:
        """Start the request's job, or find it, and do not wait for it; None where `run` would return it.

        Whoever finds the job before its deadline leaves it running. Raises as `run`.
        """
        with numbered_part(self.context, request.target_id, part) as own:
            return _Execution(self, request, own, waits=False).start()

    def run_stages(
        self, asked: StagedBackfill, *, part: str = "", ended: dict[str, Outcome] | None = None
    ) -> StagedRun:
        """Load a window stage by stage, at most `asked.max_active_stages` at a time, and wait for all; what an earlier
        try or run of the same wish has loaded is not loaded again.

        Returns how each stage ended, good or bad. Raises as `run`, but a stage past its deadline is a failed one;
        `ended` then holds the outcomes of the stages that came to an end, by their names.
        """
        from dagster_planasonix.staged_attempt import StagedExecution

        with numbered_part(self.context, asked.request.target_id, part) as own, woken_by(self.inbox_url):
            return StagedExecution(self, asked, own, ended).run()

    def note_told(self) -> None:
        """Call once all events are told: who re-executes the run then loads anew, though the step failed over them."""
        note_told(self.ledgers, self.log)

    def owner(self, part: str, *, waits: bool) -> Owner:
        """The step, as the ledger names it."""
        context, workspace = self.context, self.workspace
        run = run_of(context)
        start, end = partitions_of(context)
        return Owner(
            run_id=run.run_id,
            root_run_id=run.root_run_id or run.run_id,
            step_key=step_key_of(context),
            job_name=run.job_name,
            asset_keys=self._asset_keys,
            partition_start=start,
            partition_end=end,
            part=part,
            connection_name=self._connection_name,
            base_url=workspace.get_client().config.base_url,
            organization_id=workspace.setting("organization_id"),
            waits=waits,
        )

    def policy(self, client: Planasonix, operation: str) -> Policy:
        """How the run engine behaves for this step."""
        workspace = self.workspace
        return Policy(
            idempotency=client.config.idempotency_of(operation),
            if_running=workspace.if_running,
            timeout_seconds=workspace.timeout_seconds,
            cancel_older=workspace.cancel_on_termination,
            # Code that was edited between two runs is no mistake; its job of the earlier one goes on.
            on_edit="keep",
            # What nobody would cancel while the step lives, reconcile leaves alone afterwards. That a step does not
            # wait stands in its owner: its job is left until its deadline, and what comes then is the user's word.
            leave_running=not workspace.cancel_on_termination,
        )

    def provenance(self, owner: Owner) -> Provenance:
        """Who starts the step's jobs, as they carry it in their metadata."""
        link = run_link(self.workspace.setting("webserver_url"), owner.run_id)
        return provenance_of(owner, code_location=code_location_of(run_of(self.context)), link=link)

    def log(self, level: str, text: str) -> None:
        getattr(self.context.log, level)(text)


class _Execution:
    """The same for one request."""

    def __init__(self, attempt: Attempt, request: RunRequest, part: str, *, waits: bool) -> None:
        self._attempt = attempt
        self._context = attempt.context
        self._workspace = attempt.workspace
        self._request = request
        self._client = client = attempt.workspace.get_client()
        self._owner = attempt.owner(part, waits=waits)
        self._policy = attempt.policy(client, request.operation)
        self._chain = Chain.of(self._context, self._owner, request.target_id, attempt.inbox_url)
        self._interrupts = Interrupts()
        self._ledger: StepLedger | None = None
        self._ended = False

    def run(self) -> Outcome | None:
        with self._interrupts.settling(self._settle, self._attempt.log):
            handle = self._start()
            if handle is None:
                return None
            self._wait(handle)
            self._ended = True
            outcome = outcome_of(self._client, handle, expected_tables=self._request.expected_tables)
            self._note_end(handle, outcome)
            self._attempt.log(*told(outcome))
            return outcome

    def start(self) -> RunHandle | None:
        with self._interrupts.settling(self._settle, self._attempt.log):
            return self._start()

    # --- steps -----------------------------------------------------------------------------------------------------

    def _start(self) -> RunHandle | None:
        """The run of this wish. Waits while the connection is busy, without a time limit of its own but the job's."""
        refuse_to_start(self._context)
        owner, request, client = self._owner, self._request, self._client
        self._ledger = ledger = StepLedger(
            self._context,
            owner,
            Slot(owner.root_run_id, owner.step_key, request.target_id, owner.part),
            job_url_template=client.config.job_url_template,
            before_start=self._before_start,
            settled=self._interrupts.release,
        )
        since = time.time()
        until = since + self._policy.timeout_seconds
        while True:
            started = start_run(
                client,
                request,
                intent=ledger.intent,
                ledger=ledger,
                provenance=self._chain.deepened(self._attempt.provenance(owner)),
                policy=self._policy,
                log=self._attempt.log,
            )
            self._interrupts.release()
            if started.handle is not None:
                self._chain.started(started.handle)
                break
            if started.how == "skipped":
                self._attempt.log("warning", skipped_text(request))
                return None
            if time.time() >= until:
                raise busy_too_long(request, self._policy.timeout_seconds)
            self._attempt.log("info", busy_text(request, started))
            wait_while_busy(client, started, since=since, until=until)
        self._attempt.log("info", started_text(started, started.handle, client.config.job_url_template))
        return started.handle

    def _wait(self, handle: RunHandle) -> None:
        pause = self._workspace.poll_interval_seconds
        try:
            wait_for_run(
                self._client,
                handle,
                interval=Interval(fixed_seconds=pause),
                on_change=Listener(self._context, Story().listener(handle.kind, self._context.log.info)),
                remind_seconds=ASK_SECONDS,
            )
        except WaitTimeoutError:
            end_at_deadline(self._client, handle, cancel_it=self._workspace.cancel_on_termination)

    def _note_end(self, handle: RunHandle, outcome: Outcome) -> None:
        """Tell reconcile that this end was seen, and a retry what was made of it. How the step ends does not hang on
        that note.
        """
        ledger = self._ledger
        record = None if ledger is None else ledger.read()
        if ledger is None or record is None or record.run_id != handle.id:
            return
        self._attempt.ledgers.append(ledger)
        try:
            ledger.write(replace(record, ended_as=outcome.api_status, verdict=outcome.status))
        except Exception as error:
            self._attempt.log("warning", f"the end of {handle.kind} {handle.id} could not be noted: {error!r}")

    # --- the end from outside --------------------------------------------------------------------------------------

    def _before_start(self) -> None:
        if self._interrupts.settles:
            # Asking again what an unanswered request came to, in order to cancel it.
            return
        refuse_to_start(self._context)
        self._interrupts.hold()

    def _settle(self) -> None:
        """Interrupted: cancel what this wish started if a user gave the run up, else say that it goes on."""
        ledger = self._ledger
        record = None if ledger is None else ledger.read()
        if self._ended or ledger is None or record is None or record.intent != ledger.intent:
            return
        if record.ended_as is not None or (record.run_id, record.sent_at) == (None, None):
            return
        verdict, why = verdict_on(self._context)
        if verdict != "given up" or not self._workspace.cancel_on_termination:
            self._say_that_it_goes_on(record, why)
            return
        client = self._client.with_options(deadline_seconds=CANCEL_SECONDS)
        record = find_lost_run(
            client,
            record,
            policy=self._policy,
            ledger=ledger,
            log=self._attempt.log,
            patience_seconds=CANCEL_SECONDS,
        )
        if record.run_id is not None:
            told = give_up(client, RunHandle.of(record, reattached=True), patience_seconds=CANCEL_SECONDS)
            self._attempt.log("warning", f"{why}: {told}")

    def _say_that_it_goes_on(self, record: Record, why: str) -> None:
        what = f"the start request with the key {record.key}"
        if record.run_id is not None:
            link = RunHandle.of(record, reattached=True).link(self._client.config.job_url_template)
            what = f"{record.kind} {record.run_id}" + (f", {link}" if link else "")
        self._attempt.log("warning", f"{why}; left running: {what}")
