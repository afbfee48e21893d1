"""The one table of operations: what the façade calls and what the docs' list of endpoints is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote

from planasonix.engine import Priority, Repeat
from planasonix.errors import ConfigurationError

Family: TypeAlias = Literal["orchestration", "connections", "pipelines", "account"]

# The documents disagree about prefixes (facts §4.2, C9), so each family's can be set on its own.
DEFAULT_PREFIXES: Mapping[str, str] = {
    "orchestration": "/api/v1",
    "connections": "/api",
    "pipelines": "/api",
    "account": "/api",
}

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    `path` follows the family's prefix and names its parameters in braces. `repeat` is what may be repeated
    when an answer is lost; `keyed` says that the request carries an idempotency key, without which it
    counts as `unsafe`. A route that is both keyed and `unsafe` is a start for which no key is documented:
    only `run_idempotency="honoured"` makes it `safe`. `request` and `response` name models of
    `planasonix.models`. `source` is where the path is documented; a route that is `assumed` is documented
    nowhere.
    """

    operation: str
    method: str
    path: str
    family: Family
    repeat: Repeat
    priority: Priority
    source: str
    request: str | None = None
    response: str | None = None
    keyed: bool = False
    assumed: bool = False


def _table(*routes: Route) -> Mapping[str, Route]:
    return {route.operation: route for route in routes}


_V1 = "facts §1.1"
_PUB = "facts §1.5"
_RUNS = "facts §1.4"

# fmt: off  (a table is read by rows)
ROUTES: Mapping[str, Route] = _table(
    Route(
        "connections.sync",
        "POST",
        "/connections/{connection_id}/sync",
        "orchestration",
        "safe",
        "start",
        _V1,
        request="SyncRequestBody",
        response="Job",
        keyed=True,
    ),
    Route(
        "connections.backfill",
        "POST",
        "/connections/{connection_id}/backfill",
        "orchestration",
        "safe",
        "start",
        _V1,
        request="BackfillRequestBody",
        response="Backfill",
        keyed=True,
    ),
    Route("connections.list", "GET", "/connections", "connections", "read", "other", _PUB, response="Connection"),
    Route(
        "connections.get",
        "GET",
        "/connections/{connection_id}",
        "connections",
        "read",
        "other",
        _PUB,
        response="Connection",
    ),
    Route(
        "connections.tables",
        "GET",
        "/connections/{connection_id}/tables",
        "connections",
        "read",
        "other",
        _PUB,
        response="ConnectionTables",
    ),
    Route(
        "connections.columns",
        "GET",
        "/connections/{connection_id}/columns",
        "connections",
        "read",
        "other",
        _PUB,
        response="ConnectionColumns",
    ),
    Route("jobs.list", "GET", "/jobs", "orchestration", "read", "poll", _V1, response="Job"),
    Route("jobs.get", "GET", "/jobs/{job_id}", "orchestration", "read", "poll", _V1, response="Job"),
    Route(
        "jobs.results", "GET", "/jobs/{job_id}/results", "orchestration", "read", "other", _V1, response="JobResults"
    ),
    Route("jobs.cancel", "POST", "/jobs/{job_id}/cancel", "orchestration", "safe", "cancel", _V1, response="Job"),
    Route("backfills.list", "GET", "/backfills", "orchestration", "read", "poll", _V1, response="Backfill"),
    Route(
        "backfills.get", "GET", "/backfills/{backfill_id}", "orchestration", "read", "poll", _V1, response="Backfill"
    ),
    Route(
        "backfills.cancel",
        "POST",
        "/backfills/{backfill_id}/cancel",
        "orchestration",
        "safe",
        "cancel",
        "facts §1.1, capabilities without a path",
        response="Backfill",
        assumed=True,
    ),
    Route("pipelines.list", "GET", "/pipelines", "pipelines", "read", "other", _RUNS, response="Pipeline"),
    Route("pipelines.get", "GET", "/pipelines/{pipeline_id}", "pipelines", "read", "other", _RUNS, response="Pipeline"),
    Route(
        "pipelines.run",
        "POST",
        "/pipelines/{pipeline_id}/run",
        "pipelines",
        "unsafe",
        "start",
        _RUNS,
        request="PipelineRunRequestBody",
        response="PipelineRun",
        keyed=True,
    ),
    Route("runs.list", "GET", "/runs", "pipelines", "read", "poll", _RUNS, response="PipelineRun"),
    Route("runs.get", "GET", "/runs/{run_id}", "pipelines", "read", "poll", _RUNS, response="PipelineRun"),
    Route("runs.nodes", "GET", "/runs/{run_id}/nodes", "pipelines", "read", "other", _RUNS, response="RunNodes"),
    Route("runs.logs", "GET", "/runs/{run_id}/logs", "pipelines", "read", "other", _RUNS, response="RunLogs"),
    Route("runs.cancel", "DELETE", "/runs/{run_id}", "pipelines", "safe", "cancel", _RUNS, response="PipelineRun"),
    Route("webhooks.list", "GET", "/webhooks", "orchestration", "read", "other", _V1, response="Webhook"),
    Route(
        "webhooks.create",
        "POST",
        "/webhooks",
        "orchestration",
        "safe",
        "other",
        _V1,
        request="WebhookCreateBody",
        response="Webhook",
        keyed=True,
    ),
    Route("webhooks.get", "GET", "/webhooks/{webhook_id}", "orchestration", "read", "other", _V1, response="Webhook"),
    Route(
        "webhooks.update",
        "PUT",
        "/webhooks/{webhook_id}",
        "orchestration",
        "safe",
        "other",
        _V1,
        request="WebhookUpdateBody",
        response="Webhook",
    ),
    Route("webhooks.delete", "DELETE", "/webhooks/{webhook_id}", "orchestration", "safe", "other", _V1),
    Route(
        "webhooks.rotate_secret",
        "POST",
        "/webhooks/{webhook_id}/rotate-secret",
        "orchestration",
        "safe",
        "other",
        _V1,
        response="WebhookSecret",
        keyed=True,
    ),
    Route(
        "webhooks.test",
        "POST",
        "/webhooks/{webhook_id}/test",
        "orchestration",
        "safe",
        "other",
        _V1,
        request="WebhookTestBody",
        response="DeliveryReceipt",
        keyed=True,
    ),
    Route(
        "webhooks.deliveries",
        "GET",
        "/webhooks/{webhook_id}/deliveries",
        "orchestration",
        "read",
        "other",
        _V1,
        response="Delivery",
    ),
    Route(
        "organization.get", "GET", "/organization", "account", "read", "other", "facts §1.2", response="Organization"
    ),
    Route("openapi", "GET", "/openapi.yaml", "orchestration", "read", "other", _V1),
)
# fmt: on


def path_of(template: str, parameters: Mapping[str, str]) -> str:
    """The path with its parameters filled in, each percent-encoded as one segment."""
    path = template
    for name, value in parameters.items():
        path = path.replace("{" + name + "}", quote(value, safe=""))
    return path


def checked_id(field: str, value: object) -> str:
    """The id, if it can be one path segment. Raises `ConfigurationError` before anything is sent."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{field} is empty", field=field, hint=f"Give the {field} as a non-empty string.")
    # A proxy may decode %2F and %2E%2E, and then another endpoint would be called.
    if "/" in value or "\\" in value or ".." in value or value == "." or not value.isprintable():
        raise ConfigurationError(
            f"{field} is no id: it contains a slash, '..' or a control character",
            field=field,
            hint="Give the id alone, as the API returned it, not a URL or a path.",
        )
    return value.strip()
