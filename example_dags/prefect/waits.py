"""How long a job may take, what a busy connection means, and what becomes of the job when the flow run ends early."""

from prefect import flow

from prefect_planasonix import PlanasonixCredentials, PlanasonixSync


@flow
def load_ledger() -> int:
    job = PlanasonixSync(
        credentials=PlanasonixCredentials.load("planasonix"),
        connection_id="conn_finance_ledger",
        # The job's own deadline, from its creation; Prefect's timeout of flow or task works as well.
        timeout_seconds=6 * 3600,
        # Somebody else's job keeps the connection busy: wait for its end, then start.
        if_running="wait",
        # A redeploy of the worker ends its flow runs: leave the job to the retry of the run.
        on_shutdown="leave",
        # Two identical wishes in one flow run are two jobs in any case; this names them.
        run_key="evening",
    )
    run = job.trigger()
    run.wait_for_completion()
    return run.fetch_result().rows_loaded or 0


if __name__ == "__main__":
    load_ledger()
