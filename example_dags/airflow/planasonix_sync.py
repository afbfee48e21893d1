"""One sync, in both modes. `deferrable=True` frees the worker while the sync runs; both behave alike otherwise."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

with DAG("planasonix_sync", schedule=None, default_args={"retries": 2}, tags=["planasonix"], doc_md=__doc__):
    # Holds a worker slot, and looks at the job from there: for short syncs, and where no triggerer runs.
    PlanasonixSyncOperator(task_id="blocking", connection_id="conn_hr_people", deferrable=False)

    # Waits in the triggerer. Left out, `[operators] default_deferrable` decides.
    PlanasonixSyncOperator(
        task_id="deferred",
        connection_id="conn_finance_ledger",
        # A table that was expected and is not in the result is named in the outcome, as `no_change`.
        expected_tables=["gl.journal_entries", "gl.accounts"],
        # Goes with the job, beside the DAG, run and task that started it. Never put secrets here.
        metadata={"team": "finance"},
        deferrable=True,
    )
