"""The connection is busy when the task comes. `if_running` says what is wanted then."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator

# A slow connection of the sandbox, so that it is still busy when the second task starts.
ERP = "conn_erp_sap"

with DAG("planasonix_if_running", schedule=None, tags=["planasonix"], doc_md=__doc__):
    # Starts the sync, returns its handle and leaves it running: nothing cancels it when this task is cleared.
    start = PlanasonixSyncOperator(task_id="start", connection_id=ERP, wait_for_completion=False)

    # Somebody syncs it already: good enough, this task is skipped.
    skip = PlanasonixSyncOperator(task_id="skip_if_busy", connection_id=ERP, if_running="skip")

    # Waits for the sync that runs, and has its result. A job that this task did not start is never cancelled by it.
    attach = PlanasonixSyncOperator(task_id="share_the_sync", connection_id=ERP, if_running="attach", deferrable=True)

    # The default is "wait": until the connection is free, then a sync of its own. "fail" fails the task.
    start >> [skip, attach]
