"""Requests, intents and keys: bad input is refused before anything is sent, and names field and fix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import ConfigurationError
from planasonix.runs import (
    BackfillRequest,
    PipelineRunRequest,
    Policy,
    Provenance,
    SyncRequest,
    idempotency_key,
    new_intent,
)
from planasonix.runs.requests import with_settings

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: SyncRequest(""), "connection_id"),
        (lambda: SyncRequest(None), "connection_id"),  # type: ignore[arg-type]
        (lambda: SyncRequest("conn_1", pipeline_id=" "), "pipeline_id"),
        (lambda: BackfillRequest("conn_1", datetime(2026, 1, 1), FEBRUARY), "start_at"),  # noqa: DTZ001
        (lambda: BackfillRequest("conn_1", JANUARY, "2026-02-01"), "end_at"),  # type: ignore[arg-type]
        (lambda: BackfillRequest("conn_1", JANUARY, JANUARY), "end_at"),
        (lambda: BackfillRequest("conn_1", FEBRUARY, JANUARY), "end_at"),
        (lambda: BackfillRequest("conn_1", JANUARY, FEBRUARY, tables=()), "tables"),
        (lambda: BackfillRequest("conn_1", JANUARY, FEBRUARY, tables="public.orders"), "tables"),  # type: ignore[arg-type]
        (lambda: PipelineRunRequest(" "), "pipeline_id"),
        (lambda: PipelineRunRequest("pl_1", variables=["day"]), "variables"),  # type: ignore[arg-type]
        (lambda: PipelineRunRequest("pl_1", variables={"day": object()}), "variables"),
        (lambda: PipelineRunRequest("pl_1", environment_id=""), "environment_id"),
        (lambda: Policy(if_running="attack"), "if_running"),  # type: ignore[arg-type]
        (lambda: Policy(timeout_seconds=0), "timeout_seconds"),
        (lambda: Policy(timeout_seconds=float("nan")), "timeout_seconds"),
    ],
)
def test_bad_input_names_the_field(make: Any, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field
    assert field in str(caught.value)


def test_only_documented_fields_that_were_set_are_sent() -> None:
    assert SyncRequest("conn_1", expected_tables=("a",)).body({}) == {}
    assert set(SyncRequest("conn_1", "pl_1", "low").body({"a": 1})) == {"pipeline_id", "priority", "metadata"}
    assert BackfillRequest("conn_1", JANUARY, FEBRUARY, tables=("public.orders",)).body({}) == {
        "start_at": "2026-01-01T00:00:00Z",
        "end_at": "2026-02-01T00:00:00Z",
        "tables": ["public.orders"],
    }


def test_the_body_of_a_pipeline_run_has_no_metadata_unless_as_variables() -> None:
    metadata = {"dag_id": "nightly", "day": "theirs"}
    request = PipelineRunRequest("pl_1", "env_prod", {"day": "2026-01-05"})
    assert request.body(metadata) == {"environmentId": "env_prod", "variables": {"day": "2026-01-05"}}
    assert PipelineRunRequest("pl_1").body(metadata) == {}
    forwarding = replace(request, forward_context=True)
    assert forwarding.body(metadata)["variables"] == {"dag_id": "nightly", "day": "2026-01-05"}
    assert PipelineRunRequest("pl_1", forward_context=True).body(metadata)["variables"] == metadata


@pytest.mark.parametrize("field", ["variables", "parameters"])
def test_a_pipeline_run_takes_the_clients_settings_and_comes_back_from_its_body(field: Any) -> None:
    settings = SimpleNamespace(environment="env_default", run_variables_field=field)
    sent = with_settings(PipelineRunRequest("pl_1", variables={"day": 1}), settings)
    assert sent.body({}) == {"environmentId": "env_default", field: {"day": 1}}
    assert PipelineRunRequest.from_body("pl_1", sent.body({})) == sent
    assert with_settings(PipelineRunRequest("pl_1", "env_own"), settings).body({})["environmentId"] == "env_own"
    assert with_settings(SyncRequest("conn_1"), settings) == SyncRequest("conn_1")


def test_a_requests_own_name_for_its_variables_counts_more_than_the_clients() -> None:
    settings = SimpleNamespace(environment=None, run_variables_field="variables")
    request = PipelineRunRequest("pl_1", variables={"day": 1}, variables_field="parameters")
    assert with_settings(request, settings).body({}) == request.body({}) == {"parameters": {"day": 1}}


def test_variables_that_are_changed_later_change_no_request() -> None:
    given: dict[str, Any] = {"days": [1]}
    request = PipelineRunRequest("pl_1", variables=given)
    key = idempotency_key("i", 0, request)
    given["days"].append(2)
    given["more"] = True
    assert request.variables == {"days": [1]}
    assert idempotency_key("i", 0, request) == key


def test_a_window_in_another_zone_is_the_same_window() -> None:
    cet = timezone(timedelta(hours=1))
    there = BackfillRequest("conn_1", JANUARY.astimezone(cet), FEBRUARY.astimezone(cet))
    here = BackfillRequest("conn_1", JANUARY, FEBRUARY)
    assert there == here
    assert idempotency_key("i", 0, there) == idempotency_key("i", 0, here)


def test_the_key_follows_from_intent_generation_target_window_and_tables() -> None:
    base = BackfillRequest("conn_1", JANUARY, FEBRUARY, tables=("a", "b"))
    key = idempotency_key("i", 0, base)
    assert key == idempotency_key("i", 0, BackfillRequest("conn_1", JANUARY, FEBRUARY, tables=("b", "a")))
    others = [
        idempotency_key("j", 0, base),
        idempotency_key("i", 1, base),
        idempotency_key("i", 0, base, refusals=1),
        idempotency_key("i", 0, BackfillRequest("conn_2", JANUARY, FEBRUARY, tables=("a", "b"))),
        idempotency_key("i", 0, BackfillRequest("conn_1", JANUARY, FEBRUARY + timedelta(days=1), tables=("a", "b"))),
        idempotency_key("i", 0, BackfillRequest("conn_1", JANUARY, FEBRUARY, tables=("a",))),
        idempotency_key("i", 0, SyncRequest("conn_1")),
        idempotency_key("i", 0, PipelineRunRequest("pl_1")),
        idempotency_key("i", 0, PipelineRunRequest("pl_2")),
        idempotency_key("i", 0, PipelineRunRequest("pl_1", "env_prod")),
        idempotency_key("i", 0, PipelineRunRequest("pl_1", variables={"day": 1})),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_intents_are_new_each_time() -> None:
    assert len({new_intent() for _ in range(100)}) == 100


def test_a_users_metadata_cannot_replace_ours() -> None:
    provenance = Provenance("airflow", "airflow_dag_x", {"dag_id": "x"})
    metadata = provenance.metadata("token", 2, {"planasonix_intent": "forged", "team": "sales"})
    assert metadata["planasonix_intent"] == "token"
    assert (metadata["planasonix_generation"], metadata["team"], metadata["dag_id"]) == (2, "sales", "x")
