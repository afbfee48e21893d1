"""Reconcile from Dagster: cancel jobs that no run owns any more, and tell of ends that nobody has seen.

A worker that is killed leaves its job running, and its run fails; the job then ends well, and Dagster does not know. A
pass over the ledger puts both right. Without `apply` it only says what it would do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_planasonix._compat import has_step_succeeded
from dagster_planasonix.ledger import TOLD
from dagster_planasonix.names import unique_name
from dagster_planasonix.sensors.watched import Watched, WatchedAssets, watched_of
from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster_planasonix.events import AssetEvent
    from dagster_planasonix.ledger import LedgerEntry
    from dagster_planasonix.reconcile_source import DagsterSource
    from dagster_planasonix.workspace import PlanasonixWorkspace
    from planasonix import Planasonix
    from planasonix.runs import Finding, Reconciliation

NAME = "planasonix_reconcile"
_QUIET = ("settled", "nothing_started")


@dataclass
class Reconciled:
    """What a pass came to: the findings of the ledger, and the events that were, or would be, told.

    `untold` are jobs whose events could not be made, each with the reason.
    """

    found: Reconciliation
    events: list[AssetEvent] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """JSON-ready: findings by kind, and what was told, or would be."""
        loads = [event for event in self.events if isinstance(event, dg.AssetMaterialization)]
        return {
            **self.found.counts,
            "cancelled": sum(finding.action == "cancelled" for finding in self.found.findings),
            "to_cancel": len(self.found.to_cancel),
            "materializations": len(loads),
            "not_told": len(self.untold),
        }

    def table(self) -> str:
        """The findings that a person reads, as a table in Markdown."""
        rows = [finding for finding in self.found.findings if finding.kind not in _QUIET]
        lines = ["| finding | job | status | action | owner |", "|---|---|---|---|---|"]
        lines += [
            f"| {one.kind.replace('_', ' ')} | {one.run_kind} {one.run_id or '(no id)'} of {one.connection_id} "
            f"| {one.status or ''} | {one.action.replace('_', ' ')} | {one.slot}: {one.owner_text} |"
            for one in rows
        ]
        return "\n".join(lines) if rows else "Nothing to do."


def reconcile(
    instance: dg.DagsterInstance,
    workspace: PlanasonixWorkspace,
    assets: WatchedAssets | Watched,
    *,
    apply: bool = False,
    since_hours: float = 48.0,
    grace_seconds: float = 60.0,
    log: Callable[[str, str], None] = lambda level, text: None,
) -> Reconciled:
    """Look at what steps asked for within `since_hours`; with `apply`, cancel orphans and tell what is missing.

    A job is an orphan if its run group has ended, that of its retries too, `grace_seconds` ago or longer; the owner is
    asked once more before each cancel. An end that nobody has seen gives the events that its step would have given,
    without a run, for the assets that the step was to load, unless the event log has them already. Raises
    `AuthenticationError` when the key is refused; what concerns one job only is a finding.
    """
    from dagster_planasonix.reconcile_source import DagsterSource
    from planasonix.runs import reconcile_ledger

    def tell(finding: Finding) -> None:
        if finding.kind not in _QUIET:
            log("warning" if finding.needs_human or finding.kind == "orphan" else "info", finding.sentence)

    watched = assets if isinstance(assets, Watched) else watched_of(assets)
    client = workspace.get_client()
    source = DagsterSource(
        instance,
        since_hours=since_hours,
        webserver_url=workspace.setting("webserver_url"),
        base_url=client.config.base_url,
    )
    found = reconcile_ledger(client, source, apply=apply, grace_seconds=grace_seconds, on_finding=tell)
    done = Reconciled(found)
    for finding in found.findings:
        if not _is_worth_telling(instance, source, finding):
            continue
        try:
            events = _tell(instance, client, watched, source, finding, apply=apply)
        except (PlanasonixError, dg.DagsterError, ValueError, TypeError, KeyError) as error:
            why = error.headline() if isinstance(error, PlanasonixError) else repr(error)
            done.untold.append(f"{finding.run_kind} {finding.run_id}: {why}")
            log("error", f"The events of {done.untold[-1]}")
        else:
            done.events += events
    return done


def _is_worth_telling(instance: dg.DagsterInstance, source: DagsterSource, finding: Finding) -> bool:
    """Ends that nobody saw, and those that a step saw as good before it died with its events untold."""
    if finding.kind != "settled":
        return finding.kind == "ended_unseen"
    entry = source.ledger_entry(finding.slot)
    if entry.record is None or entry.record.verdict != "succeeded" or finding.owner != "ended":
        return False
    if TOLD in entry.entry:
        return False
    return entry.owner.waits and not has_step_succeeded(instance, entry.owner.run_id, entry.owner.step_key)


def _tell(
    instance: dg.DagsterInstance,
    client: Planasonix,
    watched: Watched,
    source: DagsterSource,
    finding: Finding,
    *,
    apply: bool,
) -> list[AssetEvent]:
    from dagster_planasonix.closing import closing_entry
    from dagster_planasonix.sensors.external import expected_tables, run_events, told_places
    from dagster_planasonix.sensors.told import DAGSTER_RUN, TOLD_BY, Told, since_when
    from planasonix.runs import outcome_of

    entry: LedgerEntry = source.ledger_entry(finding.slot)
    handle, record, owner = entry.handle, entry.record, entry.owner
    if handle is None or record is None or handle.id != finding.run_id:
        return []
    selected = [dg.AssetKey.from_user_string(key) for key in owner.asset_keys] or None
    asked: dict[str, Any] = json.loads(record.body)
    began = since_when(handle.created_at, client.clock_offset_seconds, record)
    told = Told(instance, handle.kind, handle.id, began)
    if finding.kind == "settled" and told.has_all(
        told_places(
            watched,
            handle.target_id,
            window=(asked.get("start_at"), asked.get("end_at")),
            asked_tables=asked.get("tables"),
            selected=selected,
            partition=entry.partition,
            instance=instance,
        )
    ):
        # Most steps live to tell what they saw: nothing of the API is read for those.
        return []
    ours = watched.of_connection(handle.target_id)
    if ours and selected is not None and not ours.keys() & set(selected):
        names = ", ".join([*owner.asset_keys[:3], *(["…"] if len(selected) > 3 else [])])
        raise ConfigurationError(
            f"its step was to load {names}, and no asset given here bears such a key.",
            field="assets",
            hint="Give the definitions, or specs with the same translation.",
        )
    expected = expected_tables(watched, handle.target_id, asked_tables=asked.get("tables"), selected=selected)
    outcome = outcome_of(client, handle, expected_tables=expected)
    if any(warning.code == "results_not_read" for warning in outcome.warnings):
        raise ConfigurationError("not all of its results could be read: run reconcile again.", field="results")
    events = run_events(
        outcome,
        watched,
        asked_tables=asked.get("tables"),
        selected=selected,
        partition=entry.partition,
        instance=instance,
        metadata={TOLD_BY: NAME, DAGSTER_RUN: owner.run_id},
    )
    untold = told.untold(events)
    if apply:
        for event in untold:
            instance.report_runless_asset_event(event)
        closing = closing_entry(instance, entry, outcome, job_url_template=client.config.job_url_template)
        if closing is not None:
            instance.report_runless_asset_event(closing)
    return untold


def build_planasonix_reconcile_job(
    workspace: PlanasonixWorkspace,
    assets: WatchedAssets,
    *,
    name: str = NAME,
    apply: bool = False,
    since_hours: float = 48.0,
    grace_seconds: float = 60.0,
) -> dg.JobDefinition:
    """A job of one op that reconciles; give it a schedule.

    :param workspace: whose jobs are looked at.
    :param assets: the definitions or specs of the tables to tell of.
    :param apply: False only reports. In the launchpad: `ops: {planasonix_reconcile_op: {config: {apply: true}}}`.
    :param since_hours: how far back steps are looked at; longer than the pause between two runs of this job.
    :param grace_seconds: an owner that ended less than this ago may still be cancelling by itself.

    The op's output is the counts, and its metadata a table of the findings. The run fails where something needs a
    human: the text says what. Raises `ConfigurationError` for bad arguments.

        reconcile = build_planasonix_reconcile_job(workspace, assets, apply=True)
        hourly = dg.ScheduleDefinition(job=reconcile, cron_schedule="7 * * * *")
        defs = dg.Definitions(assets=assets, jobs=[reconcile], schedules=[hourly])
    """
    for option, value in (("since_hours", since_hours), ("grace_seconds", grace_seconds)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigurationError(f"{option} must be a number of at least 0, got {value!r}.", field=option)
    watched = watched_of(assets)
    plain = unique_name(name)

    @dg.op(
        name=f"{plain}_op",  # Dagster wants the names of jobs and ops to differ
        description="Cancels Planasonix jobs that no run owns any more, and tells of ends that nobody has seen.",
        config_schema={
            "apply": dg.Field(bool, default_value=apply, description="Put right what is found."),
            "since_hours": dg.Field(float, default_value=float(since_hours)),
            "grace_seconds": dg.Field(float, default_value=float(grace_seconds)),
        },
        out=dg.Out(dict),
    )
    def reconcile_op(context):  # Dagster reads annotations of `context` as objects, and here they are texts.
        done = reconcile(
            context.instance,
            workspace,
            watched,
            **context.op_config,
            log=lambda level, text: getattr(context.log, level)(text),
        )
        context.log.info(f"{done.counts}\n{done.table()}")
        if done.found.to_cancel and not context.op_config["apply"]:
            context.log.warning("Nothing was cancelled: launch again with config {apply: true}.")
        context.add_output_metadata({"findings": dg.MetadataValue.md(done.table()), "counts": done.counts})
        if done.found.for_a_human or done.untold:
            text = "\n".join([done.found.report(), *done.untold])
            raise dg.Failure(text, metadata={"counts": done.counts}, allow_retries=False)
        return done.counts

    # One process: a pass over a ledger is no work to hand to another.
    @dg.job(name=plain, executor_def=dg.in_process_executor)
    def reconcile_job():
        reconcile_op()

    return reconcile_job
