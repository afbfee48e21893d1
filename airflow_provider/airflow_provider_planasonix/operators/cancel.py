"""Put an end to a job, backfill or pipeline run on purpose, and wait until it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import BaseOperator
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.links import PlanasonixJobLink
from airflow_provider_planasonix.rendered import require_flag, type_rendered_fields
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
        `start.output`, or the text of it. Templated. None (the task was skipped) ends nothing. A run that
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
        require_flag("wait_for_completion", wait_for_completion)
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

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        # Not render_template_fields: Airflow passes that one by for mapped tasks.
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            type_rendered_fields(self)

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
            return self._of_handle()
        run_id = getattr(self, self._by)
        if not isinstance(run_id, str) or not run_id.strip():
            raise ConfigurationError(
                f"{self._by} must be the id of a run, got {run_id!r}.",
                field=self._by,
                hint="A template that finds nothing renders to an empty text: check what it reads.",
            )
        return _KINDS[self._by], run_id.strip(), None

    def _of_handle(self) -> tuple[Kind, str, RunHandle] | None:
        from planasonix.runs import RunHandle

        meant = RunHandle.named(self.handle)
        if meant is None:
            return None
        if not meant.owned:
            raise ConfigurationError(
                f"The {meant.kind} {meant.id} may be somebody else's: "
                "the task that gave its handle only waited for it.",
                field="handle",
                hint="Name its id, if it is to end all the same.",
            )
        return meant.kind, meant.id, meant
