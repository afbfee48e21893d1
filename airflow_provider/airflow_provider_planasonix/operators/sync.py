"""Start an incremental sync of a connection and wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_planasonix.literals import check_name, check_tables
from airflow_provider_planasonix.operators.run import PlanasonixConnectionOperator
from planasonix.runs.requests import SyncRequest


class PlanasonixSyncOperator(PlanasonixConnectionOperator):
    """Starts one incremental sync for each wish of the user, and waits for it (facts §1.1).

    A retry of the task waits for the job that is already running, uses the result of one that succeeded meanwhile, and
    starts a new one only when the last one failed. Clearing the task starts a new one.

    :param connection_id: the Planasonix connection to sync. Templated.
    :param pipeline_id: the pipeline that the job belongs to, if any. Templated.
    :param planasonix_conn_id: the Airflow connection with host and API key. Templated.
    :param priority: `low`, `normal` or `high`; the API's default when left out. Templated.
    :param metadata: your own entries for the job's metadata. Templated. Never put secrets here.
    :param expected_tables: tables that the result should account for; not sent to the API. Templated.
    :param wait_for_completion: `False` returns the run's handle as soon as it was started. Templated.
    :param if_running: when the connection is busy: `wait` (the default), `attach` to the one running job of this type,
        `skip` the task, or `fail`. Templated.
    :param timeout_seconds: the job's deadline, from its creation; past it the job is cancelled and the task fails.
        Templated.
    :param poll_interval_seconds: a fixed pause between looks; left out, it follows the job's age (2 to 18 s).
        Templated.
    :param cancel_on_kill: cancel the job when the task is killed, cleared, or marked failed or success. Templated.
    :param deferrable: wait in the triggerer; default from `[operators] default_deferrable`. Not
        templated.

    A template may give any type: `"{{ params.tables }}"` is a list again after rendering, `"{{ params.seconds }}"` a
    number, with and without `render_template_as_native_obj`; `None` means left out.

    Returns the outcome as a dict: `kind`, `id`, `connection_id`, `status`, `api_status`, `tables` (each `name`,
    `state`, `rows_loaded`, `checksum`), `warnings` (each `code`, `message`), `rows_loaded`, `error_code`,
    `error_message`, `created_at`, `started_at`, `finished_at`, `duration_seconds`, `job_ids`, `generation`, `owned`,
    `reattached`, `link`.

    Raises `planasonix.errors.RunFailedError` with the whole report when the job failed, `AirflowFailException` when
    somebody cancelled it, `WaitTimeoutError` past the deadline, `AirflowSkipException` when `if_running="skip"`.
    """

    template_fields = (
        *PlanasonixConnectionOperator.template_fields,
        "pipeline_id",
        "expected_tables",
    )

    def __init__(
        self,
        *,
        connection_id: str,
        pipeline_id: str | None = None,
        expected_tables: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(connection_id=connection_id, **kwargs)
        self.pipeline_id = pipeline_id
        self.expected_tables = expected_tables
        check_name("pipeline_id", pipeline_id)
        check_tables("expected_tables", expected_tables, may_be_empty=True)

    def run_request(self, context: Any) -> SyncRequest:
        return SyncRequest(
            self.connection_id,
            pipeline_id=self.pipeline_id,
            priority=self.priority,
            expected_tables=self.expected_tables,  # type: ignore[arg-type]  # a list is taken as a tuple
        )
