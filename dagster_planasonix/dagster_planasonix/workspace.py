"""The resource: one Planasonix account, and how runs behave in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Optional

import dagster as dg
from pydantic import ConfigDict, Field

from dagster_planasonix.clients import shared_client
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from planasonix import Planasonix


class PlanasonixWorkspace(dg.ConfigurableResource):
    """A Planasonix account as a Dagster resource.

    Give it to the definitions under the key `planasonix`, or use the object itself. Its `repr` and its page in the UI
    show no key. Times are in seconds.

    - `api_key`: an API key, as `dg.EnvVar(…)`; left out, the environment's `PLANASONIX_API_KEY`. Of a resource in the
      definitions Dagster stores the config with each run: a literal key would lie in its database.
    - `base_url`: the API's address; left out, `PLANASONIX_BASE_URL`, else https://api.planasonix.com.
    - `organization_id`, `environment`, `idempotency`, `idempotency_header`, `job_url_template`: as for
      `planasonix.Planasonix`.
    - `webserver_url`: the address of Dagster's UI, so that jobs in Planasonix link to their run.
    - `request_timeout_seconds`: one try of one call.
    - `poll_interval_seconds`: the pause between two looks at a job; left out, it grows with the job's age, 2 to 18 s.
    - `timeout_seconds`: a job's deadline, from its creation; then it is cancelled. The default is a day.
    - `if_running`: what to do when the connection is busy with another job: `wait` for its end, `attach` to it,
      `skip`, `fail`.
    - `cancel_on_termination`: whether a run that is terminated, and a deadline, cancel the job. A worker that is only
      restarted or evicted never does.
    - `on_table_failure`: whether a failed table fails the step (`fail`), or only its check (`warn`).
    - `on_paused`: whether a paused connection fails the step (`fail`), or is skipped with an observation (`skip`).
    - `inbox_url`: the inbox of events, as `dg.EnvVar(…)` where it holds a password; left out, `PLANASONIX_INBOX_URL`,
      else none. `build_planasonix_inbox_sensor` reads it, and waits end with its events instead of the next poll.

    Bad values raise Dagster's own error for bad config or, for what only the client can tell, `ConfigurationError`
    with the first use.

        import dagster as dg
        from dagster_planasonix import PlanasonixWorkspace

        workspace = PlanasonixWorkspace(api_key=dg.EnvVar("PLANASONIX_API_KEY"))
        defs = dg.Definitions(resources={"planasonix": workspace})
    """

    # A misspelt setting would be ignored. What pydantic refuses it would quote, and that may be a key.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_key: str = Field(repr=False, json_schema_extra={"dagster__is_secret": True})
    base_url: Optional[str] = None  # noqa: UP045 - Dagster's config reads this spelling on every Python
    organization_id: Optional[str] = None  # noqa: UP045
    environment: Optional[str] = None  # noqa: UP045
    idempotency: Literal["honoured", "unproven", "ignored"] = "unproven"
    idempotency_header: str = "Idempotency-Key"
    job_url_template: Optional[str] = None  # noqa: UP045
    webserver_url: Optional[str] = None  # noqa: UP045
    request_timeout_seconds: float = Field(default=30.0, gt=0)
    poll_interval_seconds: Optional[float] = Field(default=None, gt=0)  # noqa: UP045
    timeout_seconds: float = Field(default=86_400.0, gt=0)
    if_running: Literal["wait", "attach", "skip", "fail"] = "wait"
    cancel_on_termination: bool = True
    on_table_failure: Literal["fail", "warn"] = "fail"
    on_paused: Literal["fail", "skip"] = "fail"
    inbox_url: Optional[str] = Field(  # noqa: UP045
        default=None, repr=False, json_schema_extra={"dagster__is_secret": True}
    )

    def __init__(self, **settings: Any) -> None:
        # Not a default of the field: Dagster would hand that to a run as it is, with the variable unread.
        super().__init__(**{"api_key": dg.EnvVar("PLANASONIX_API_KEY"), **settings})

    def get_client(self) -> Planasonix:
        """The API client of these settings, shared by the whole process and safe to use from any thread.

        Closing it is not needed, and does no harm. Raises `ConfigurationError` for a setting that cannot work, and
        where an environment variable that is to hold one is not set.
        """
        settings = {
            "api_key": self._value("api_key"),
            "base_url": self._value("base_url"),
            "organization_id": self._value("organization_id"),
            "environment": self._value("environment"),
            "idempotency": self.idempotency,
            "idempotency_header": self._value("idempotency_header"),
            "job_url_template": self._value("job_url_template"),
            "timeout_seconds": self.request_timeout_seconds,
        }
        return shared_client(settings)

    def sync_and_poll(self, context: dg.AssetExecutionContext | dg.OpExecutionContext, **options: Any) -> Any:
        """Load what the step's selected assets name and wait for it: `yield from workspace.sync_and_poll(context)`.

        See `dagster_planasonix.execution.sync_and_poll` for the options and what it raises.
        """
        from dagster_planasonix.execution import sync_and_poll

        return sync_and_poll(context, self, **options)

    def submit(self, context: dg.AssetExecutionContext | dg.OpExecutionContext, **options: Any) -> Any:
        """Start the load of what the step's selected assets name, and leave its end to the sensor.

        See `dagster_planasonix.detached.submit`.
        """
        from dagster_planasonix.detached import submit

        return submit(context, self, **options)

    def fetch_state(self, connection_selector: Any = None, **options: Any) -> Any:
        """Ask the API for the selected connections and their tables; see `dagster_planasonix.fetch.fetch_state`."""
        from dagster_planasonix.fetch import fetch_state

        return fetch_state(self, connection_selector, **options)

    def ensure_webhook(self, url: str, events: Sequence[str] | None = None, *, secret: str) -> str:
        """Have the events sent to the receiver at `url`, and return the subscription's id; nothing else is returned,
        as Dagster stores what an op returns.

        Idempotent by URL. `events`: all that are published if left out. `secret` (16 bytes or more) is what a new
        subscription signs with; take it from where the receiver does, and keep it out of configs:
        `workspace.ensure_webhook(url, secret=dg.EnvVar("PLANASONIX_WEBHOOK_SECRETS").get_value())`. One that is there
        keeps its own. Raises `ConfigurationError` for a URL or secret that cannot be, and the client's errors.
        """
        from planasonix.webhooks.subscriptions import DEFAULT_EVENTS, subscribe

        return subscribe(self.get_client(), url, events or DEFAULT_EVENTS, secret=secret).webhook_id

    def setting(self, name: str) -> Any:
        """The value of a field, of its environment variable where it names one: also outside a run."""
        return self._value(name)

    def _value(self, name: str) -> Any:
        value = getattr(self, name)
        if not isinstance(value, dg.EnvVar):
            return value
        found = value.get_value()
        if found is None:
            raise ConfigurationError(
                f"PlanasonixWorkspace: {name} is to come from the environment variable {value.env_var_name}, which is "
                "not set.",
                field=name,
                hint=f"Set {value.env_var_name} where this code location runs.",
            )
        return found
