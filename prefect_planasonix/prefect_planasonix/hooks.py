"""Hooks of a flow: what no call was alive to do when its run was cancelled or crashed.

Prefect runs them in the process of the runner once the flow's own process is gone, or at the end of the flow's own
process, so that they find its jobs in the ledger. A suspended run has no runner: see `prefect_planasonix.automations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from prefect_planasonix.outside import outside_of_runs

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

    from planasonix.runs import RunHandle
    from prefect_planasonix.credentials import PlanasonixCredentials
    from prefect_planasonix.ledger_entry import LedgerEntry

F = TypeVar("F", bound="Flow[Any, Any]")


def planasonix_hooks(flow: F, *, credentials: PlanasonixCredentials | None = None) -> F:
    """Register hooks for cancellation and crash on the flow, and return it.

    They cancel the jobs that the flow run started and that still run. `credentials`: with which; None loads the saved
    block that each job was started with, and takes PLANASONIX_API_KEY and PLANASONIX_BASE_URL of the process that runs
    the hook where there was none.

    ```python
    @flow
    def nightly(): ...

    planasonix_hooks(nightly)
    ```
    """
    hook = _hook(credentials)
    flow.on_cancellation(hook)
    flow.on_crashed(hook)
    return flow


def _hook(credentials: PlanasonixCredentials | None) -> Callable[..., None]:
    # Prefect's runner calls hooks with these names as keywords, and only logs the error of one with others.
    def cancel_planasonix_jobs(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
        """Cancel what the flow run started in Planasonix and nobody waits for any more."""
        from prefect.logging.loggers import flow_run_logger

        logger = flow_run_logger(flow_run, flow)

        def cancel_all() -> None:
            try:
                _cancel_all(flow_run, state, credentials, logger)
            except Exception as error:
                logger.warning("the jobs of this flow run could not be looked up, cancel them by hand: %r", error)

        outside_of_runs(cancel_all)

    return cancel_planasonix_jobs


def _cancel_all(flow_run: FlowRun, state: State[Any], credentials: PlanasonixCredentials | None, logger: Any) -> None:
    from prefect_planasonix.clients import prefect_client
    from prefect_planasonix.ledger import records_of

    for entry in records_of(prefect_client(), flow_run.id):
        reason = _left_because(entry, state)
        handle = entry.handle
        if entry.record.ended_as is not None:
            continue
        if handle is None:
            if entry.record.sent_at is not None:
                logger.warning(
                    "whether a start request took effect is not known; its key is %s. Reconcile looks for its job.",
                    entry.record.key,
                )
            continue
        if reason is not None:
            logger.warning("%s %s is left running: %s", handle.kind, handle.id, reason)
            continue
        logger.warning("%s", _cancel(entry, handle, credentials))


def _left_because(entry: LedgerEntry, state: State[Any]) -> str | None:
    """Why the job is not to be cancelled; None where it is."""
    if not entry.record.owned:
        return "it may be somebody else's"
    if entry.record.leave_running:
        return "cancel_on_cancellation is false"
    from prefect_planasonix.termination import SHUTDOWN_MESSAGE

    by_shutdown = state.is_crashed() or (state.message or "").startswith(SHUTDOWN_MESSAGE.rstrip("."))
    if by_shutdown and entry.on_shutdown == "leave":
        return "on_shutdown is 'leave'"
    return None


def _cancel(entry: LedgerEntry, handle: RunHandle, credentials: PlanasonixCredentials | None) -> str:
    from planasonix.runs import give_up
    from prefect_planasonix.credentials import PlanasonixCredentials
    from prefect_planasonix.environment import credentials_of_environment
    from prefect_planasonix.termination import CANCEL_SECONDS

    name = f"Planasonix {handle.kind} {handle.id}"
    if credentials is None and entry.credentials_block is None:
        credentials = credentials_of_environment()
        if credentials is None:
            return (
                f"{name} goes on: its credentials were not saved as a block, give planasonix_hooks(credentials=...), "
                "or set PLANASONIX_API_KEY for whoever runs the hook."
            )
    try:
        found: Any = credentials or PlanasonixCredentials.load(str(entry.credentials_block))
    except ValueError:
        return f"{name} goes on: its saved block {entry.credentials_block!r} cannot be loaded. Cancel it by hand."
    try:
        with found.get_client(deadline_seconds=CANCEL_SECONDS) as client:
            if entry.base_url not in (None, client.config.base_url):
                # Whoever may write artifacts must not say where the key is sent.
                return f"{name} goes on: it is at {entry.base_url}, and its credentials name another address by now."
            return give_up(client, handle, patience_seconds=CANCEL_SECONDS)
    except Exception as error:
        return f"{name} could not be cancelled, cancel it by hand: {type(error).__name__}"
