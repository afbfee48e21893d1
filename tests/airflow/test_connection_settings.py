"""What the fields of an Airflow connection become, and what is said about wrong ones."""

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.hooks.settings import READERS, settings_of
from planasonix.errors import ConfigurationError

KEY = "plnx_live_canary_8e2a"


def settings(extra: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"conn_id": "mine", "conn_type": "planasonix", "password": KEY} | fields
    return settings_of(Connection(**values), extra or {})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "https://api.planasonix.com"),
        ({"host": "api.example.com"}, "api.example.com"),
        ({"host": " https://api.example.com "}, "https://api.example.com"),
        ({"host": "api.example.com", "port": 8443}, "api.example.com:8443"),
        ({"host": "http://localhost", "port": 8765}, "http://localhost:8765"),
        ({"host": "http://localhost:8765", "port": 8765}, "http://localhost:8765"),
        ({"host": "https://gate.example.com/planasonix", "port": 443}, "https://gate.example.com:443/planasonix"),
        ({"host": "api.example.com", "schema": "http"}, "http://api.example.com"),
    ],
)
def test_base_url(fields: dict[str, Any], expected: str) -> None:
    assert settings(**fields)["base_url"] == expected


def test_every_extra_arrives_with_the_type_that_the_client_wants() -> None:
    extra = {
        "organization_id": " org_1 ",
        "environment": "prod",
        "idempotency_header": "X-Key",
        "idempotency": "ignored",
        "run_variables_field": "parameters",
        "run_idempotency": "honoured",
        "job_url_template": "https://app.example.com/jobs/{job_id}",
        "timeout_seconds": "12.5",
        "connect_timeout_seconds": 3,
        "deadline_seconds": 90,
        "max_tries": "4",
        "max_connections": 8,
        "proxy": "http://proxy.example.com:3128",
        "path_prefixes": '{"orchestration": "/v1"}',
        "routes": {"jobs.get": "GET /v1/jobs/{job_id}"},
    }
    assert set(extra) == set(READERS)
    read = settings(extra)
    assert read["organization_id"] == "org_1"
    assert (read["timeout_seconds"], read["connect_timeout_seconds"]) == (12.5, 3.0)
    assert (read["max_tries"], read["max_connections"]) == (4, 8)
    assert read["path_prefixes"] == {"orchestration": "/v1"}
    assert read["routes"] == {"jobs.get": "GET /v1/jobs/{job_id}"}


def test_empty_fields_of_the_form_mean_not_set() -> None:
    assert set(settings({"organization_id": "", "timeout_seconds": None})) == {"api_key", "base_url"}


@pytest.mark.parametrize(
    ("extra", "fields", "field", "says"),
    [
        ({}, {"password": None}, "password", "API key is missing"),
        ({}, {"password": "  "}, "password", "API key is missing"),
        ({}, {"host": "api.example.com", "schema": "ftp"}, "schema", "http or https"),
        ({}, {"host": "a.example.com:1", "port": 2}, "port", "leave one of them empty"),
        ({}, {"host": "a.example.com:x", "port": 2}, "host", "port cannot be read"),
        ({"timeout_seconds": "soon"}, {}, "extra.timeout_seconds", "number of seconds above zero"),
        ({"timeout_seconds": True}, {}, "extra.timeout_seconds", "number of seconds above zero"),
        ({"deadline_seconds": "nan"}, {}, "extra.deadline_seconds", "number of seconds above zero"),
        ({"max_tries": 0}, {}, "extra.max_tries", "whole number above zero"),
        ({"max_tries": "2.5"}, {}, "extra.max_tries", "whole number above zero"),
        ({"idempotency": "perhaps"}, {}, "extra.idempotency", "'honoured', 'unproven' or 'ignored'"),
        ({"run_variables_field": "params"}, {}, "extra.run_variables_field", "'variables' or 'parameters'"),
        ({"organization_id": 7}, {}, "extra.organization_id", "text"),
        ({"path_prefixes": "{"}, {}, "extra.path_prefixes", "JSON object"),
        ({"routes": ["jobs.get"]}, {}, "extra.routes", "JSON object"),
    ],
)
def test_a_wrong_field_is_named(extra: dict[str, Any], fields: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(extra, **fields)
    assert caught.value.field == field
    assert "'mine'" in str(caught.value)
    assert field in str(caught.value)
    assert says in str(caught.value)


def test_an_unknown_extra_is_told_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    settings({"organisation_id": KEY})
    assert "'organisation_id'" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"password": "two words"}, "password"),
        ({"host": "ftp://api.example.com"}, "host"),
        ({"extra": json.dumps({"path_prefixes": {"nothing": "/x"}})}, "extra.path_prefixes"),
    ],
)
def test_what_the_client_refuses_is_told_in_the_words_of_the_form(
    fields: dict[str, Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "planasonix", "password": KEY} | fields
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(connection))
    with pytest.raises(ConfigurationError) as caught:
        PlanasonixHook("mine").get_client()
    assert caught.value.field == field
    assert f"field {field}" in str(caught.value)
    assert str(fields.get("password", KEY)) not in str(caught.value)
