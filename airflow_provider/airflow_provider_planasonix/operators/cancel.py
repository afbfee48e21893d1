"""Put an end to a job, backfill or pipeline run on purpose, and wait until it has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import BaseOperator
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.links import PlanasonixJobLink
from planasonix.errors import ConfigurationError
from planasonix.watch.interval import require_positive

if TYPE_CHECKING:
    from planasonix.runs import RunHandle
    from planasonix.watch import Kind

_KINDS: dict[str, Kind] = {"job_id": "job", "backfill_id": "backfill", "pipeline_run_id": "run"}
_NAMES = (*_KINDS, "handle")


class PlanasonixCancelOperator(BaseOperator):
    """Cancels one run, by its id or by what another task returned, and waits until it has ended (facts §1.1, §1.4).

    A run that has ended already is no error, so that a retry or a clear does no harm; nor is one that ends well before
    it stops: `status` tells. Where the API has no cancel for a backfill, its jobs are cancelled one by one.

        start = PlanasonixSyncOperator(task_id="start", connection_id="conn_orders", wait_for_completion=False)
        stop = PlanasonixCancelOperator(task_id="stop", handle=start.output, trigger_rule="all_done")

    :param job_id: the job to cancel. Templated. Give exactly one of this and the next three.
    :param backfill_id: the backfill to cancel. Templated.
    :param pipeline_run_id: the pipeline run to cancel. Templated.
    :param handle: what a task of this package returned: a handle (`wait_for_completion=False`) or an outcome, as
        `start.output`, or text that holds its JSON. Templated. None (the task was skipped) ends nothing. A run that
        the other task does not own may be somebody else's and is refused: name its id, if it is meant.
    :param planasonix_conn_id: the Airflow connection with host and API key. Templated.
    :param wait_for_completion: `False` returns once the run was asked to stop.
    :param timeout_seconds: how long its end is awaited, on the worker; past it the task fails.

    Returns `kind`, `id`, `status` (`cancelled`, `succeeded`, `failed`; `active` or `cancelling` where nobody waits),
    `api_status`, `already_ended` (it was not asked), `connection_id`, `pipeline_id`, `link`; None for no handle.

    Raises `planasonix.errors.ConfigurationError`, which names the parameter, `NotFoundError` for an unknown run,
    `WaitTimeoutError`.
    """

    template_fields = ("job_id", "backfill_id", "pipeline_run_id", "handle", "planasonix_conn_id")
    operator_extra_links = (PlanasonixJobLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        job_id: str | None = None,
        backfill_id: str | None = None,
        pipeline_run_id: str | None = None,
        handle: Mapping[str, Any] | str | None = None,
        planasonix_conn_id: str = PlanasonixHook.default_conn_name,
        wait_for_completion: bool = True,
        timeout_seconds: float = 300.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.backfill_id = backfill_id
        self.pipeline_run_id = pipeline_run_id
        self.handle = handle
        self.planasonix_conn_id = planasonix_conn_id
        self.wait_for_completion = wait_for_completion
        self.timeout_seconds = timeout_seconds
        require_positive("timeout_seconds", timeout_seconds)
        given = [name for name in _NAMES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigurationError(
                f"Exactly one of {', '.join(_NAMES)} is needed, got {', '.join(given) or 'none'}.",
                field=given[-1] if given else "job_id",
                hint="Name the one run that is to end.",
            )
        self._by = given[0]
        if getattr(self, self._by) == "":
            raise ConfigurationError(f"{self._by} is empty.", field=self._by, hint="Name the one run that is to end.")

    def execute(self, context: Any) -> dict[str, Any] | None:
        named = self._named()
        if named is None:
            self.log.info("there is nothing to cancel: the other task started nothing")
            return None
        from planasonix.runs import end_run

        kind, run_id, meant = named
        with PlanasonixHook(self.planasonix_conn_id).get_client() as client:
            ended = end_run(
                client, kind, run_id, meant=meant, timeout_seconds=self.timeout_seconds, wait=self.wait_for_completion
            )
        PlanasonixJobLink.push(context, ended.link)
        how = "had ended already" if ended.already_ended else "was asked to stop"
        self.log.info("Planasonix %s %s %s (it is %s)", kind, run_id, how, ended.api_status)
        return ended.to_dict()

    def _named(self) -> tuple[Kind, str, RunHandle | None] | None:
        """What is to end; None for the handle of a task that started nothing."""
        if self._by == "handle":
            return _of_handle(self.handle)
        run_id = getattr(self, self._by)
        if not isinstance(run_id, str) or not run_id.strip():
            raise ConfigurationError(
                f"{self._by} must be the id of a run, got {run_id!r}.",
                field=self._by,
                hint="A template that finds nothing renders to an empty text: check what it reads.",
            )
        return _KINDS[self._by], run_id.strip(), None


def _of_handle(value: Any) -> tuple[Kind, str, RunHandle] | None:
    from planasonix.runs import RunHandle

    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = False
    if value is None:
        return None
    names = ("kind", "id")
    if not isinstance(value, Mapping) or not all(isinstance(value.get(name), str) for name in names):
        raise ConfigurationError(
            "handle is not what a task of this package returns.",
            field="handle",
            hint="Give the other task's .output, or name the run's id.",
        )
    kind, run_id = value["kind"], value["id"]
    if kind not in _KINDS.values():
        raise ConfigurationError(f"handle has the kind {kind!r}.", field="handle", hint="Name the run's id.")
    if value.get("owned") is not True:
        raise ConfigurationError(
            f"The {kind} {run_id} may be somebody else's: the task that gave its handle only waited for it.",
            field="handle",
            hint="Name its id, if it is to end all the same.",
        )
    target = value.get("target_id") or value.get("pipeline_id" if kind == "run" else "connection_id")
    meant = RunHandle(kind, run_id, str(target), owned=True, created_at=0.0, deadline_at=0.0, intent="")
    return kind, run_id, meant
