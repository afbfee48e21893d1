"""What Airflow reads about this provider at start: data only, imports nothing of Airflow."""

from __future__ import annotations

from typing import Any

from airflow_provider_planasonix.push.options import config_section

_INTEGRATION = "Planasonix"
_PACKAGE = "airflow_provider_planasonix"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in the shape of Airflow's runtime provider-info schema."""
    return {
        "package-name": "airflow-provider-planasonix",
        "name": _INTEGRATION,
        "description": "Start `Planasonix <https://planasonix.com/>`__ syncs, backfills and pipeline runs, "
        "and wait for them.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.planasonix.com/",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.hooks.planasonix"]}],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.operators.{name}" for name in ("sync", "backfill", "pipeline", "cancel")
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [f"{_PACKAGE}.sensors.{name}" for name in ("job", "backfill")],
            }
        ],
        "triggers": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.triggers.{name}" for name in ("run", "busy", "stages", "since", "event")
                ],
            }
        ],
        "config": config_section(),
        "extra-links": [f"{_PACKAGE}.links.PlanasonixJobLink"],
        "asset-uris": [
            {
                "schemes": ["planasonix"],
                "handler": f"{_PACKAGE}.assets.sanitize_uri",
                "factory": f"{_PACKAGE}.assets.planasonix_table",
                "to_openlineage_converter": f"{_PACKAGE}.assets.to_openlineage",
            }
        ],
        "connection-types": [
            {
                "connection-type": "planasonix",
                "hook-class-name": f"{_PACKAGE}.hooks.planasonix.PlanasonixHook",
                "hook-name": "Planasonix",
                "conn-fields": _conn_fields(),
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {
                        "host": "https://api.planasonix.com",
                        "port": "only if the base URL has none and needs one",
                        "password": "plnx_...",
                    },
                },
            }
        ],
    }


def _conn_fields() -> dict[str, dict[str, Any]]:
    return {
        "organization_id": _text("Organization", "Sent as X-Organization-ID. Needed if the key has several."),
        "environment": _text("Environment", "The default environment of pipeline runs, by its id."),
        "job_url_template": _text(
            "Job page",
            "Where people look at a job, for the button of a task: https://app.example.com/{kind}s/{id}, with job, "
            "backfill or run for {kind}; {connection_id} and {pipeline_id} are known too. Without it there is no "
            "button.",
        ),
        "timeout_seconds": _number("Timeout (seconds)", "How long one try of a call may take.", 30),
        "connect_timeout_seconds": _number("Connect timeout (seconds)", "How long connecting may take.", 10),
        "deadline_seconds": _number("Deadline (seconds)", "Bounds a call with all of its tries and pauses.", 120),
        "max_tries": {
            "label": "Tries",
            "description": "How often one call is tried at most.",
            "schema": {"type": ["integer", "null"], "minimum": 1, "default": 5},
        },
        "idempotency_header": _text(
            "Idempotency header", "Name of the header for idempotency keys. Empty: Idempotency-Key."
        ),
        "idempotency": {
            "label": "Idempotency keys",
            "description": "'honoured' if your tenant is known to recognise a repeated key: then a lost start is sent "
            "again with the same key. Otherwise it is looked up, and the job found counts as somebody else's.",
            "schema": {
                "type": ["string", "null"],
                "enum": ["honoured", "unproven", "ignored"],
                "default": "unproven",
            },
        },
        "run_variables_field": {
            "label": "Name of a run's variables",
            "description": "Under which name your tenant takes the variables of a pipeline run: 'variables' is the "
            "documented one.",
            "schema": {
                "type": ["string", "null"],
                "enum": ["variables", "parameters"],
                "default": "variables",
            },
        },
        "run_idempotency": {
            "label": "Idempotency keys of pipeline runs",
            "description": "The same for the runs of pipelines, for which no key is documented. 'honoured' only if a "
            "start that was sent twice with one key was seen to make one run.",
            "schema": {
                "type": ["string", "null"],
                "enum": ["honoured", "unproven", "ignored"],
                "default": "unproven",
            },
        },
        # May contain a user name and a password.
        "proxy": _text("Proxy", "Address of an HTTP proxy.", format="password"),
    }


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _number(label: str, description: str, default: int) -> dict[str, Any]:
    schema = {"type": ["number", "null"], "exclusiveMinimum": 0, "default": default}
    return {"label": label, "description": description, "schema": schema}
