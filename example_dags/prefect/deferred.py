"""Flows that hold no process while their jobs run, with what brings them back and what cleans up after them."""

from prefect import flow, serve

from prefect_planasonix import PlanasonixCredentials
from prefect_planasonix.automations import cleanup_on_cancel, resume_on_event
from prefect_planasonix.deferred import run_sync_deferred
from prefect_planasonix.reconcile import cleanup, reconcile


@flow
def load_tickets() -> int:
    """Suspended while the job runs. On resume it runs from its top, and finds its job again."""
    outcome = run_sync_deferred(PlanasonixCredentials.load("planasonix"), "conn_support_tickets")
    return outcome.rows_loaded if outcome and outcome.rows_loaded else 0


def automations() -> None:
    """Once, after the deployments are there."""
    resume_on_event("load-tickets/nightly").create()
    cleanup_on_cancel("load-tickets/nightly", "planasonix-cleanup/planasonix").create()


if __name__ == "__main__":
    serve(
        load_tickets.to_deployment("nightly", cron="0 3 * * *"),
        cleanup.to_deployment("planasonix"),
        # Resumes what an event did not, and cancels the jobs of runs that are gone.
        reconcile.to_deployment("planasonix", interval=60, parameters={"dry_run": False}),
    )
