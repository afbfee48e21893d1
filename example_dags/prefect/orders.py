"""One sync in a flow: start it, wait for it, and use what it tells."""

from prefect import flow, get_run_logger

from prefect_planasonix import PlanasonixCredentials, PlanasonixSync, planasonix_hooks


@flow(retries=2, retry_delay_seconds=30)
def load_orders() -> int:
    """A retry finds the job that is running; it starts a new one only where that failed."""
    job = PlanasonixSync(credentials=PlanasonixCredentials.load("planasonix"), connection_id="conn_shop_orders")
    run = job.trigger()
    run.wait_for_completion()
    outcome = run.fetch_result()
    for table in outcome.tables:
        get_run_logger().info("%s: %s rows", table.name, table.rows_loaded)
    return outcome.rows_loaded or 0


# For what no running code can do: a process that was killed leaves its job to this.
planasonix_hooks(load_orders)

if __name__ == "__main__":
    load_orders.serve("nightly", cron="0 2 * * *")
