"""Run a pipeline and wait for the end of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Never

from airflow_provider_planasonix.literals import check_name
from airflow_provider_planasonix.operators.run import PlanasonixRunOperator
from airflow_provider_planasonix.rendered import is_known, require_flag
from planasonix.errors import ConfigurationError
from planasonix.runs.requests import PipelineRunRequest


class PlanasonixRunPipelineOperator(PlanasonixRunOperator):
    """Starts one run of a pipeline for each wish of the user, and waits for it (facts §1.4, §5.1).

    Retries, clears, kills and deadlines behave as in `PlanasonixSyncOperator`. Two things differ, because the API
    documents less of a run than of a job. A run carries no metadata, so that Planasonix does not show which task
    started it, unless `forward_context` sends that as variables. And no idempotency key is documented for its start:
    after a lost answer the operator looks for the run before it sends again, and what it finds counts as maybe
    somebody else's: it is waited for and never cancelled. A connection with `run_idempotency: honoured` states that
    the tenant knows keys for runs; do not state it unless that was tried.

        PlanasonixRunPipelineOperator(
            task_id="revenue",
            pipeline_name="daily_revenue",
            environment="env_production",
            variables={"day": "{{ ds }}"},
            deferrable=True,
        )

    :param pipeline_id: the pipeline to run. Templated.
    :param pipeline_name: its exact name, in the place of `pipeline_id`; looked up when the task runs. Templated.
    :param environment: the *id* of the environment to run in (the API's `environmentId`); left out, the one of the
        Airflow connection, or the API's default. Templated.
    :param variables: the pipeline's variables: a JSON object, or text that holds one, as in
        `"{{ dag_run.conf['variables'] | tojson }}"`. Templated. Never put secrets here.
    :param parameters: another name for `variables`, as the vendor's documents have both.
    :param forward_context: send what a job's metadata says (`triggered_by`, `dag_id`, `dag_run_id`, `task_id`,
        `map_index`, `link`, `metadata`) as variables; `variables` of the same name count. Off by default, because
        whether a pipeline takes variables that it does not declare is documented nowhere.
    :param metadata: your own entries for what `forward_context` sends. Templated.
    :param planasonix_conn_id: the Airflow connection with host and API key. Templated.
    :param wait_for_completion: `False` returns the run's handle as soon as it was started.
    :param if_running: when the API refuses because the pipeline is busy: `wait` (the default), `attach` to its one
        active run, whatever the variables of that, `skip` the task, or `fail`.
    :param timeout_seconds: the run's deadline, from its creation (24 hours); past it the run is cancelled and the task
        fails.
    :param timeout: another name for `timeout_seconds`: seconds, or a timedelta.
    :param poll_interval_seconds: a fixed pause between looks; left out, it follows the run's age (2 to 18 s).
    :param cancel_on_kill: cancel the run when the task is killed, cleared, or marked failed or success.
    :param deferrable: wait in the triggerer; default from `[operators] default_deferrable`.
    :param api_key: refused. The vendor's documents name it, but a DAG file is text that Airflow stores and shows, as it
        does templates once they are rendered: a key belongs into the Airflow connection.

    Returns the outcome as a dict: `kind` (`run`), `id`, `pipeline_id`, `status`, `api_status`, `rows_read`,
    `rows_loaded` (those that it wrote), `nodes` (each `node_id`, `type`, `status`, `rows_in`, `rows_out`,
    `error_message`), `warnings`, `error_code`, `error_message`, `created_at`, `started_at`, `finished_at`,
    `duration_seconds`, `generation`, `owned`, `reattached`, `link`. Nodes are read as a best effort and decide nothing.

    Raises `planasonix.errors.ConfigurationError`, which names the parameter, at parse for what can be seen there;
    `RunFailedError` with the whole report when the run failed, `AirflowFailException` when somebody cancelled it,
    `WaitTimeoutError` past the deadline, `AirflowSkipException` when `if_running="skip"`.
    """

    template_fields = (
        *PlanasonixRunOperator.template_fields,
        "pipeline_id",
        "pipeline_name",
        "environment",
        "variables",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **PlanasonixRunOperator.template_fields_renderers,
        "variables": "json",
    }

    def __init__(
        self,
        *,
        pipeline_id: str | None = None,
        pipeline_name: str | None = None,
        environment: str | None = None,
        variables: Mapping[str, Any] | str | None = None,
        parameters: Mapping[str, Any] | str | None = None,
        forward_context: bool = False,
        timeout: float | timedelta | None = None,
        timeout_seconds: float | None = None,
        api_key: None = None,
        **kwargs: Any,
    ) -> None:
        if api_key is not None:
            del api_key
            _refuse(
                "api_key",
                "cannot stand in a DAG file: Airflow stores and shows what is there",
                "Put the key into the password of an Airflow connection, and name that with planasonix_conn_id.",
            )
        # What stands in default_args is meant for several kinds of tasks, `timeout` for sensors: it gives way.
        defaults: Mapping[str, Any] = kwargs.get("default_args") or {}
        if timeout is not None and timeout_seconds is not None:
            if timeout == defaults.get("timeout"):
                timeout = None
            elif timeout_seconds == defaults.get("timeout_seconds"):
                timeout_seconds = None
        if timeout is not None and timeout_seconds is not None:
            _refuse("timeout", "and timeout_seconds are two names for one thing", "Give one of them.")
        if isinstance(timeout, timedelta):
            timeout = timeout.total_seconds()
        if timeout is not None or timeout_seconds is not None:
            kwargs["timeout_seconds"] = timeout if timeout_seconds is None else timeout_seconds
        super().__init__(**kwargs)
        if (pipeline_id is None) == (pipeline_name is None):
            _refuse("pipeline_id", "or pipeline_name is needed, and not both", "Give one of them.")
        if variables is not None and parameters is not None:
            _refuse("parameters", "and variables are two names for one thing", "Give one of them.")
        require_flag("forward_context", forward_context)
        if not forward_context:
            if kwargs.get("metadata") is not None:
                _refuse("metadata", "is not sent: a pipeline run has none", "Use variables, or forward_context=True.")
            self.metadata = None
        self.pipeline_id = pipeline_id
        self.pipeline_name = pipeline_name
        self.environment = environment
        self.variables = parameters if variables is None else variables
        self.forward_context = forward_context
        self._check_literals()
        self._check_outlets()

    def _check_literals(self) -> None:
        """What is wrong whatever templates and other tasks' results come to."""
        for name in ("pipeline_id", "pipeline_name", "environment"):
            check_name(name, getattr(self, name))
        variables = self.variables
        if variables is None or not is_known(variables):
            return
        if isinstance(variables, str):
            _object(variables)
        elif not isinstance(variables, Mapping) or not all(isinstance(name, str) for name in variables):
            _refuse(
                "variables", "must be a dict by the names of the pipeline's variables", "As in {'day': '{{ ds }}'}."
            )

    def run_request(self, context: Any) -> PipelineRunRequest:
        # What is wrong with the other fields shows before the API is asked for the name.
        request = self._request("pl_not_looked_up" if self.pipeline_name is not None else self.pipeline_id)
        if self.pipeline_name is None:
            return request
        if (started := self._pipeline_of_this_wish(context)) is not None:
            return self._request(started)
        from planasonix.runs import pipeline_id_of

        with self.hook.get_client() as client:
            return self._request(pipeline_id_of(client, self.pipeline_name))

    def _pipeline_of_this_wish(self, context: Any) -> str | None:
        """The pipeline whose run an earlier try may have started, unless that run's bad end was read.

        A name may be changed or out of sight meanwhile: the run that goes on is found by what the ledger says.
        """
        from airflow_provider_planasonix.ledger import TaskStateLedger

        ledger = TaskStateLedger(context)
        record = ledger.read()
        if record is None or record.kind != "run" or record.intent != ledger.intent:
            return None
        sent = record.sent_at is not None or record.run_id is not None
        return record.target_id if sent and record.verdict in (None, "succeeded") else None

    def _request(self, pipeline_id: Any) -> PipelineRunRequest:
        return PipelineRunRequest(
            pipeline_id,
            environment_id=self.environment,
            variables=_object(self.variables),
            forward_context=self.forward_context,
        )

    def _expected_tables(self, context: Any) -> tuple[str, ...]:
        """A run loads no tables that the API would tell of; the name need not be looked up again."""
        return ()


def _object(value: Mapping[str, Any] | str | None) -> Any:
    """The variables; a template that is not rendered natively becomes text."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        _refuse("variables", "is text that holds no JSON object", "Render it with the filter tojson, or give a dict.")
    return found


def _refuse(field: str, problem: str, fix: str) -> Never:
    raise ConfigurationError(f"{field} {problem}.", field=field, hint=fix)
