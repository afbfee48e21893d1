"""Several connections beside one another, each job started and waited for by tasks; then a backfill in stages."""

from prefect import flow

from prefect_planasonix import PlanasonixCredentials, planasonix_hooks
from prefect_planasonix.flows import run_backfill
from prefect_planasonix.tasks import start_sync, wait_for_run

CONNECTIONS = ("conn_shop_orders", "conn_crm_accounts", "conn_support_tickets")


@flow
def nightly(first_day: str = "2026-01-01T00:00:00+00:00", end: str = "2026-01-04T00:00:00+00:00") -> int:
    """The waits share one look at the API for all their jobs, however many they are."""
    account = PlanasonixCredentials.load("planasonix")
    started = [start_sync.submit(account, connection) for connection in CONNECTIONS]
    ended = [wait_for_run.submit(account, handle) for handle in started]
    outcomes = [one.result() for one in ended]
    # One backfill for each day, two at a time. A retry of the run starts only the days that are not loaded.
    outcomes.append(run_backfill(account, "conn_billing_stripe", first_day, end, stage="1d", max_active_stages=2))
    return sum(outcome.rows_loaded or 0 for outcome in outcomes if outcome)


planasonix_hooks(nightly)

if __name__ == "__main__":
    nightly()
