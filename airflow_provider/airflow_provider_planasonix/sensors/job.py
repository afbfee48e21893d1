"""Wait for a job: one by its id, or the first one of a connection since some moment."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_planasonix.sensors.run import PlanasonixRunSensor


class PlanasonixJobSensor(PlanasonixRunSensor):
    """Waits for a job that another task, or somebody outside of Airflow, started (facts §1.1). Cancels nothing, ever.

    By its id:

        sync = PlanasonixSyncOperator(task_id="sync", connection_id="conn_shop_orders", wait_for_completion=False)
        PlanasonixJobSensor(task_id="synced", job_id=sync.output)

    Or the first sync of a connection that was created since then and succeeded, whoever started it:

        PlanasonixJobSensor(
            task_id="tonights_sync", connection_id="conn_shop_orders", since="{{ data_interval_end }}", deferrable=True
        )

    It is the earliest created of those that have ended well: a newer one never takes its place, so that a cleared task
    finds it again, unless one that was created before it has ended well since. Failed ones before it do not matter.
    While runs since then go on, they are waited for; once all have ended badly, the sensor fails with the newest
    (`fail_on_failure`). `since` is by our clock, and compared with when the job was created; what the API's clock is
    off by is allowed for. Let it name a moment that stays when the run is cleared, as `data_interval_end` or
    `dag_run.run_after`.

    :param job_id: the job; also what `PlanasonixSyncOperator` returned, its handle or its outcome. Templated.
    :param connection_id: in the place of `job_id`: the connection whose jobs count. Templated.
    :param since: with `connection_id`: only jobs created then or later; an aware datetime, or ISO 8601 text with an
        offset. Templated.
    :param job_type: with `connection_id`: jobs of this type, `connection_sync` by default; None takes any.
    :param wanted_status: `succeeded` (the default), or `ended` to go on after any end, and return how it ended.
    :param fail_on_failure: with `connection_id`: fail when all jobs since then have ended, and none well. False waits
        for a newer one, until `timeout`.
    :param planasonix_conn_id: the Airflow connection. Templated.
    :param poke_interval: seconds, or a timedelta, between looks; left out, 60 s on a worker, and in the triggerer one
        that follows the run's age (2 to 18 s by id, else 5 to 30 s).
    :param timeout: seconds, or a timedelta, for the whole wait: Airflow's own parameter and its default, seven days.
        The task fails without a retry then, as every sensor of Airflow does. A shorter `execution_timeout` ends the
        try, deferred or not, and a retry may follow.
    :param mode: `poke` or `reschedule`, where it is not deferrable.
    :param deferrable: wait in the triggerer; default from `[operators] default_deferrable`. Then `exponential_backoff`,
        `max_wait` and `silent_fail` have no effect.
    :param soft_fail: skip instead of fail when the job fails, is cancelled, or does not come in time.
    :param start_from_trigger: begin in the triggerer, without a worker; needs `deferrable=True`, `connection_id` and
        `since`, and templates that name nothing but the DAG run: `ds`, `ts` and their like, `logical_date`,
        `data_interval_start` and `_end`, `dag_run`, `run_id`, `params`, `partition_key` and `_date`, `macros`. Off by
        default: with it, what is wrong in a rendered field is told late, and the link is there only at the end. Mapped
        tasks begin on a worker all the same.

    Returns the outcome as `PlanasonixSyncOperator` does, with `tables` and `rows_loaded`; `owned` is False.

    Raises `planasonix.errors.RunFailedError` with the whole report when the job failed, `AirflowFailException` when
    somebody cancelled it, `AirflowSensorTimeout`, `AuthenticationError` or `PermissionDeniedError` when the key is
    refused for five minutes, `NotFoundError` when the job is missing for two, Airflow's own error when the connection
    cannot be looked up for five. No other failed look ends the wait.
    `ConfigurationError` names a field that is wrong, when the DAG file is read or before anything is sent.
    """

    template_fields = ("job_id", *PlanasonixRunSensor.template_fields, "job_type")

    kind = "job"
    id_field: ClassVar[str] = "job_id"

    def __init__(self, *, job_id: Any = None, job_type: str | None = "connection_sync", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.job_type = job_type
        self._check()
