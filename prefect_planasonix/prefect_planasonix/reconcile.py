"""Reconcile from Prefect: resume the runs whose jobs have ended, cancel jobs that no run owns, report unseen ends.

Deploy `reconcile` with a schedule, and `cleanup` for `automations.cleanup_on_cancel` and `zombie`. Both may run beside
themselves and beside the flows that they look at: an owner is asked again before its job is cancelled, and resuming a
run twice resumes it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import flow

from planasonix.errors import ConfigurationError, PlanasonixError
from prefect_planasonix.resuming import Resumption, resume_all, wake

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from planasonix import Planasonix
    from planasonix.runs import Finding, Reconciliation
    from prefect_planasonix.reconcile_source import PrefectSource

_QUIET = ("settled", "nothing_started")
_FLOW_RUN = "prefect.flow-run."


@dataclass
class Reconciled:
    """What a pass came to."""

    found: Reconciliation
    resumed: list[Resumption] = field(default_factory=list[Resumption])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**self.found.to_dict(), "resumptions": [vars(each) for each in self.resumed]}

    def report(self) -> str:
        """What a person reads, in Markdown."""
        rows = [f"| {each.action.replace('_', ' ')} | {each.name} | {each.why} |" for each in self.resumed]
        rows += [
            f"| {one.kind.replace('_', ' ')} | {one.run_kind} {one.run_id or '(no id)'} "
            f"| {_done(one)}{one.sentence.replace('|', ' ')} |"
            for one in self.found.findings
            if one.kind not in _QUIET and not (one.kind == "left" and one.owner == "alive")
        ]
        if not rows:
            return "Nothing to do."
        return "\n".join(["| what | which | why |", "|---|---|---|", *rows])


@flow(name="planasonix-reconcile", persist_result=False)
def reconcile(
    dry_run: bool = True,
    credentials: str | None = None,
    since_hours: float = 48.0,
    grace_seconds: float = 60.0,
    resume: bool = True,
    cancel: bool = True,
) -> dict[str, Any]:
    """Look at what flow runs asked for within `since_hours`, and at all suspended ones, and put right what no process
    was alive for.

    :param dry_run: only say what would be done. Deploy with `parameters={"dry_run": False}` once you trust it.
    :param credentials: the name of a saved `PlanasonixCredentials` block. None: the key in PLANASONIX_API_KEY.
    :param grace_seconds: a run that ended less than this ago may still be cancelling its job itself.
    :param resume: wake suspended runs whose jobs have ended, are gone, or are past their deadline.
    :param cancel: cancel jobs that are still running though their run has ended for good.

    Returns the findings, JSON-ready; the report is the markdown artifact `planasonix-reconcile`. Raises
    `AuthenticationError` when the key is refused, and `LedgerError` where Prefect's API cannot be used: where only some
    runs could not be resumed, after all else was done.
    """
    from prefect.artifacts import create_markdown_artifact

    from prefect_planasonix.attempt import run_logger
    from prefect_planasonix.clients import prefect_client
    from prefect_planasonix.ledger import LedgerError
    from prefect_planasonix.reconcile_source import PrefectSource

    log = run_logger()
    client = client_for(credentials)
    prefect = prefect_client()
    source = PrefectSource(prefect, since_hours=since_hours, of=client.config, credentials_block=credentials)
    done = run_pass(
        client,
        prefect,
        source,
        dry_run=dry_run,
        grace_seconds=grace_seconds,
        resume=resume,
        cancel=cancel,
        log=log.info,
    )
    text = done.report()
    log.info("%s", text)
    create_markdown_artifact(markdown=text, key="planasonix-reconcile", description="What reconcile found, and did.")
    if failed := [each.name for each in done.resumed if each.error]:
        raise LedgerError(f"These flow runs could not be resumed through Prefect's API: {', '.join(failed)}.")
    return done.to_dict()


@flow(name="planasonix-cleanup", persist_result=False)
def cleanup(
    flow_run_id: str, is_silent: bool = False, credentials: str | None = None, has_news: bool = False
) -> dict[str, Any]:
    """Cancel the jobs that one flow run has left running, if it has ended; for automations.

    :param flow_run_id: its id, or `prefect.flow-run.<id>`.
    :param is_silent: the run gives no sign of life: mark it as crashed if it still says that it is running. Its job is
        left alone, for a retry to find.
    :param credentials: as for `reconcile`; None also finds the saved block with which the job was started.
    :param has_news: an event tells of the end of a job: resume the run if this package has suspended it, and do nothing
        else. One that a user has suspended stays so.

    Returns the findings, JSON-ready. Raises as `reconcile`; where the key of only some jobs is missing, after the
    others were looked after.
    """
    from prefect_planasonix.attempt import run_logger
    from prefect_planasonix.clients import prefect_client
    from prefect_planasonix.reconcile_source import PrefectSource

    log = run_logger()
    prefect = prefect_client()
    run_id = _flow_run_id(flow_run_id)
    if is_silent:
        return {"crashed": mark_crashed(prefect, run_id, log.warning)}
    if has_news:
        return {"resumption": wake(prefect, run_id, log.info)}
    from prefect_planasonix.ledger import records_of

    blocks = {each.credentials_block for each in records_of(prefect, run_id)}
    if not blocks:
        log.info("flow run %s has asked for nothing", run_id)
    elif credentials:
        blocks = {credentials}
    findings: list[Any] = []
    errors: list[Exception] = []
    for block in sorted(blocks, key=str):
        try:
            client = client_for(block)
            source = PrefectSource(prefect, flow_run_id=run_id, of=client.config, credentials_block=block)
            found = _reconciled(client, source, apply=True, grace_seconds=0.0, log=log.info)
        except Exception as error:
            # What was started with the other blocks is to be cancelled all the same.
            what = error.headline() if isinstance(error, PlanasonixError) else type(error).__name__
            log.warning("jobs started with %s were not looked at: %s", block or "an unsaved block", what)
            errors.append(error)
        else:
            findings += [each.to_dict() for each in found.findings]
    if errors:
        raise errors[0]
    return {"findings": findings}


def run_pass(
    client: Planasonix,
    prefect: SyncPrefectClient,
    source: PrefectSource,
    *,
    dry_run: bool = True,
    grace_seconds: float = 60.0,
    resume: bool = True,
    cancel: bool = True,
    log: Callable[[str], object] = lambda text: None,
) -> Reconciled:
    """One pass, for callers without a flow. Raises as `reconcile`."""
    found = _reconciled(client, source, apply=cancel and not dry_run, grace_seconds=grace_seconds, log=log)
    return Reconciled(found, resume_all(client, prefect, source, dry_run=dry_run, log=log) if resume else [])


def mark_crashed(prefect: SyncPrefectClient, flow_run_id: str, log: Callable[[str], object]) -> bool:
    """Call a run crashed that says it is running, and nothing else: one that is suspended gives no sign either."""
    from prefect.states import Crashed

    run = prefect.read_flow_run(UUID(flow_run_id))
    if run.state is None or not run.state.is_running():
        return False
    message = "No sign of life any more: its process, or its machine, is taken for dead."
    prefect.set_flow_run_state(run.id, Crashed(message=message))
    log(f"flow run {run.name} gave no sign of life any more, and is called crashed")
    return True


def client_for(credentials: str | None) -> Planasonix:
    """A client of this process with the saved block of that name, else with PLANASONIX_API_KEY.

    Raises `ConfigurationError` where neither is there.
    """
    from prefect_planasonix.clients import shared_client
    from prefect_planasonix.credentials import PlanasonixCredentials
    from prefect_planasonix.environment import credentials_of_environment

    if credentials is not None:
        try:
            return shared_client(_loaded(PlanasonixCredentials, credentials))
        except ValueError as error:
            raise ConfigurationError(
                f"There is no saved PlanasonixCredentials block {credentials!r}.", field="credentials"
            ) from error
    found = credentials_of_environment()
    if found is None:
        raise ConfigurationError(
            "There is no API key here.",
            field="credentials",
            hint="Give credentials= the name of a saved PlanasonixCredentials block, or set PLANASONIX_API_KEY.",
        )
    return shared_client(found)


def _done(finding: Finding) -> str:
    return "" if finding.action == "none" else f"{finding.action.replace('_', ' ')}: "


def _loaded(block: Any, name: str) -> Any:
    # `load` is sync in a sync flow.
    return block.load(name)


def _reconciled(
    client: Planasonix, source: PrefectSource, *, apply: bool, grace_seconds: float, log: Callable[[str], object]
) -> Reconciliation:
    from planasonix.runs import reconcile_ledger

    def tell(finding: Finding) -> None:
        if finding.kind not in _QUIET and not (finding.kind == "left" and finding.owner == "alive"):
            log(finding.sentence)

    return reconcile_ledger(client, source, apply=apply, grace_seconds=grace_seconds, on_finding=tell)


def _flow_run_id(value: str) -> str:
    try:
        return str(UUID(value.strip().removeprefix(_FLOW_RUN)))
    except ValueError:
        raise ConfigurationError(
            f"flow_run_id must be the id of a flow run, got {value!r}.", field="flow_run_id"
        ) from None
