# Generated from ../_async/client.py by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""The client: settings, connections, and the resources as attributes."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, Unpack

from planasonix.client._sync.backfills import Backfills
from planasonix.client._sync.calls import Caller
from planasonix.client._sync.connections import Connections
from planasonix.client._sync.jobs import Jobs
from planasonix.client._sync.organization import Organizations
from planasonix.client._sync.pipelines import Pipelines
from planasonix.client._sync.runs import Runs
from planasonix.client._sync.webhooks import Webhooks
from planasonix.client.api_key import ReloadApiKey
from planasonix.client.config import ClientConfig, resolve
from planasonix.client.options import CallOptions, changed
from planasonix.client.reading import one, read_document, read_json
from planasonix.client.routes import checked_id
from planasonix.client.secret import Secret
from planasonix.client.shared import Shared
from planasonix.client.start_reply import StartReply
from planasonix.engine import Clock, Event
from planasonix.models import Backfill, Job, PipelineRun


class Planasonix:
    """A client of the Planasonix API.

    `api_key` and `base_url` default to the environment's `PLANASONIX_API_KEY` and `PLANASONIX_BASE_URL`
    (else https://api.planasonix.com). All settings can be changed for a copy with `with_options`, unless
    marked (*):

    - (*) `reload_api_key`: a function that returns the key of now, asked again when the server refuses the one
      in force, so that a wait outlives its rotation. A key from
      the environment is read again from there.
    - (*) `organization_id`: sent as `X-Organization-ID`; `environment`: the default one of pipeline runs.
    - `run_variables_field="parameters"` if the server takes a run's variables under that name.
    - `idempotency_header`: the name is not published; `idempotency="ignored"` if the server ignores keys:
      then a start is not repeated once it may have had its effect. `run_idempotency` is the same for pipeline
      runs, for which no key is documented: their start is repeated with `run_idempotency="honoured"` alone.
    - `path_prefixes`: per family, e.g. `{"orchestration": "/v1"}`; `routes`: per operation, e.g.
      `{"jobs.get": "GET /api/v1/jobs/{job_id}"}`.
    - `timeout_seconds` bounds one try, `deadline_seconds` the whole call with its tries, pauses and
      queueing (None: no bound), `max_tries` the tries of a call.
    - (*) `connect_timeout_seconds`, `max_connections`, `proxy`, `ssl_context`; (*) `transport`: an object
      with `send(request, timeout_seconds)` instead of HTTP, such as the sandbox's.
    - `job_url_template`: where people look at a job, with `{job_id}`, or at a run of any kind (`job`,
      `backfill`, `run`), with `{kind}` and `{id}`; no such address is published.
    - `on_event`: called with each typed event of `planasonix.engine.events`; `rng`, `clock`: for tests.

    Raises `ConfigurationError` that names the setting and the remedy. Safe to share between threads and
    event loops, and across a fork. Clients of the same key and host share one rate budget within the
    process.

        with Planasonix() as client:
            job = client.connections.sync("conn_01jq8k2m3n4p5q6r7s8t9u0v1")
            client.jobs.wait(job.id, timeout=3600)
    """

    config: ClientConfig
    connections: Connections
    jobs: Jobs
    backfills: Backfills
    pipelines: Pipelines
    runs: Runs
    webhooks: Webhooks
    organization: Organizations

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        reload_api_key: ReloadApiKey | None = None,
        organization_id: str | None = None,
        environment: str | None = None,
        run_variables_field: Literal["variables", "parameters"] = "variables",
        idempotency_header: str = "Idempotency-Key",
        idempotency: Literal["honoured", "unproven", "ignored"] = "unproven",
        run_idempotency: Literal["honoured", "unproven", "ignored"] = "unproven",
        path_prefixes: Mapping[str, str] | None = None,
        routes: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 10.0,
        max_tries: int = 5,
        deadline_seconds: float | None = 120.0,
        max_connections: int = 20,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        transport: Any = None,
        job_url_template: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        rng: random.Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        # Tracebacks may show locals, and the checks below raise: from here on no frame holds the bare texts.
        hidden_key, hidden_proxy = Secret.wrap(api_key), Secret.wrap(proxy)
        del api_key, proxy
        settings: dict[str, Any] = {
            "organization_id": organization_id,
            "environment": environment,
            "run_variables_field": run_variables_field,
            "idempotency_header": idempotency_header,
            "idempotency": idempotency,
            "run_idempotency": run_idempotency,
            "path_prefixes": path_prefixes,
            "routes": routes,
            "timeout_seconds": timeout_seconds,
            "connect_timeout_seconds": connect_timeout_seconds,
            "max_tries": max_tries,
            "deadline_seconds": deadline_seconds,
            "max_connections": max_connections,
            "proxy": hidden_proxy,
            "ssl_context": ssl_context,
            "transport": transport,
            "job_url_template": job_url_template,
            "on_event": on_event,
            "rng": rng,
            "clock": clock,
        }
        config = resolve(hidden_key, base_url, settings, reload_api_key)
        self._set_up(config, Shared.open(config), owner=True)

    def _set_up(self, config: ClientConfig, shared: Shared, *, owner: bool) -> None:
        self.config = config
        self._shared = shared
        self._owner = owner
        self._caller = caller = Caller(config, shared)
        self.connections = Connections(self, caller)
        self.jobs = Jobs(self, caller)
        self.backfills = Backfills(self, caller)
        self.pipelines = Pipelines(caller)
        self.runs = Runs(self, caller)
        self.webhooks = Webhooks(caller)
        self.organization = Organizations(caller)

    def with_options(self, **options: Unpack[CallOptions]) -> Self:
        """A copy with other settings that uses the same connections and budgets. Closing it closes nothing.

        patient = client.with_options(deadline_seconds=600, max_tries=10)
        """
        copy = type(self).__new__(type(self))
        copy._set_up(changed(self.config, options), self._shared, owner=False)
        return copy

    def start(
        self,
        operation: Literal["connections.sync", "connections.backfill", "pipelines.run"],
        target_id: str,
        body: bytes | None,
        idempotency_key: str | None,
        *,
        retry_unknown: bool = True,
    ) -> StartReply:
        """POST exactly these bytes under exactly this key, on every try.

        With `retry_unknown=False` an unclear end of a try (answer lost or damaged, 5xx) is raised at once.
        What was certainly not done (no connection, 429) is tried again in any case. `target_id` is the connection, or
        the pipeline of a `pipelines.run`, which knows no key by the documents: see `pipelines.run`.
        """
        target = "pipeline_id" if operation == "pipelines.run" else "connection_id"
        answer = self._caller.call(
            operation,
            {target: checked_id(target, target_id)},
            read_json,
            body=body,
            idempotency_key=idempotency_key,
            retry_unknown=retry_unknown,
        )
        if operation == "connections.sync":
            return StartReply(one(answer, Job, "job"), answer.attempts)
        if operation == "connections.backfill":
            return StartReply(one(answer, Backfill, "backfill"), answer.attempts)
        return StartReply(one(answer, PipelineRun, "run"), answer.attempts)

    def detached(self, **options: Unpack[CallOptions]) -> Self:
        """A client with the same settings, changed by the options, and connections of its own: close it."""
        other = type(self).__new__(type(self))
        config = changed(self.config, options)
        other._set_up(config, Shared.open(config), owner=True)
        return other

    @property
    def clock_offset_seconds(self) -> float | None:
        """Server time minus ours, by the `Date` of the last answer; None before one came that had it."""
        return self._shared.server_clock.offset_seconds

    def openapi(self) -> dict[str, Any] | str:
        """The server's OpenAPI document: a dictionary if it is JSON, else (the documented YAML) its text."""
        return (self._caller.call("openapi", {}, read_document)).value

    def close(self) -> None:
        """Close the connections. A copy made by `with_options` leaves that to the original."""
        if self._owner:
            self._shared.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        # A refused constructor leaves a client without settings, which a traceback with locals shows all the same.
        config: ClientConfig | None = getattr(self, "config", None)
        return f"{type(self).__name__}({config.host!r})" if config else f"{type(self).__name__}()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client is not pickled, it holds a key and connections: make one where it is needed")
