"""Retries where they can help: at once an end for a refused key, a long enough pause for a busy or absent API."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_planasonix.operators.sync import PlanasonixSyncOperator
from airflow_provider_planasonix.retry_policy import PlanasonixRetryPolicy

with DAG("planasonix_retry_policy", schedule=None, tags=["planasonix"], doc_md=__doc__):
    PlanasonixSyncOperator(
        task_id="sync",
        connection_id="conn_finance_ledger",
        # The most there are; the policy can only end them early.
        retries=5,
        # For what the policy leaves to the task, such as a job that failed.
        retry_delay=timedelta(minutes=2),
        # Error codes of failed jobs for which a new one would fail as well. The report of a failed job names its code.
        retry_policy=PlanasonixRetryPolicy(never_heal=["source_authentication_failed"]),
    )
