"""The events of a run: names, ids, what is related, what they say."""

from __future__ import annotations

import doctest
import json
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

import prefect_planasonix.events as module
from planasonix.runs import TableOutcome
from prefect_planasonix.events import (
    ENDED_EVENTS,
    emit,
    ended_event,
    event_id,
    job_event,
    progressed_event,
    related_to,
    started_event,
)
from tests.prefect.telling_parts import CONNECTION, LINK, ORDERS, handle, outcome, partial, seen

RUN = uuid4()


def test_the_examples_are_true() -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


def test_an_id_is_the_same_for_the_same_thing_and_for_nothing_else() -> None:
    # A literal one: ids that change with a release would let automations act twice.
    assert str(event_id("job", "job_1", "failed")) == "fd609587-2178-5e68-a0da-e143b7bf7078"
    ids = [
        event_id(kind, run_id, word, flow_run_id=about)
        for kind in ("job", "backfill", "run")
        for run_id in ("1", "12", "")
        for word in ("started", "failed")
        for about in (None, RUN, uuid4())
    ]
    assert len(set(ids)) == len(ids)
    assert event_id("job", "1", "failed", flow_run_id=RUN) == event_id(
        "job", "1", "failed", flow_run_id=str(RUN).upper()
    )


def test_whoever_tells_an_end_tells_the_same_event() -> None:
    first = ended_event(partial(), flow_run_id=RUN)
    by_reconciler = ended_event(partial(), flow_run_id=RUN, related=[{"prefect.resource.id": "x"}])
    assert (first.id, first.event) == (by_reconciler.id, by_reconciler.event)
    assert first.id != ended_event(partial(), flow_run_id=uuid4()).id


@pytest.mark.parametrize(
    ("status", "word"),
    [("succeeded", "succeeded"), ("failed", "failed"), ("cancelled", "cancelled"), ("mystery", "failed")],
)
def test_an_end_is_named_after_its_status(status: str, word: str) -> None:
    event = ended_event(outcome(status=status))
    assert event.event == f"planasonix.job.{word}"
    assert event.event in ENDED_EVENTS


def test_an_end_says_in_short_what_became_of_the_run() -> None:
    event = ended_event(partial())
    assert event.resource == {
        "prefect.resource.id": "planasonix.backfill.backfill_1",
        "prefect.resource.name": "backfill_1",
        "planasonix.kind": "backfill",
        "planasonix.connection-id": CONNECTION,
    }
    assert event.related == [
        {"prefect.resource.id": f"planasonix.connection.{CONNECTION}", "prefect.resource.role": "connection"}
    ]
    assert event.payload == {
        "kind": "backfill",
        "id": "backfill_1",
        "connection_id": CONNECTION,
        "status": "failed",
        "api_status": "failed",
        "rows_loaded": 12,
        "tables_loaded": 1,
        "tables_failed": 1,
        "failed_tables": ["public.refunds"],
        "warnings": 1,
        "error_code": "E_SOURCE",
        "error_message": "the source went away",
        "finished_at": "2026-01-05T10:00:04Z",
        "duration_seconds": 4.5,
        "generation": 0,
        "owned": True,
        "link": LINK,
    }


def test_a_payload_stays_small_whatever_the_api_says() -> None:
    tables = [TableOutcome(f"public.{'t' * 100}{n}", "failed") for n in range(2000)]
    event = ended_event(outcome(*tables, status="failed", error_message="x" * 100_000))
    assert len(json.dumps(dict(event.payload))) < 5000
    assert event.payload["tables_failed"] == 2000


def test_a_pipeline_is_named_as_such() -> None:
    event = started_event(handle("run"), link=LINK, flow_run_id=RUN)
    assert event.event == "planasonix.job.started"
    assert event.resource["planasonix.pipeline-id"] == "pl_1"
    assert event.payload["pipeline_id"] == "pl_1"
    assert event.payload["link"] == LINK
    assert event.payload["created_at"].endswith("Z")
    nameless = job_event("failed", "job", "job_1", "", {})
    assert nameless.related == []
    assert "connection_id" not in nameless.payload


def test_progress_counts_in_whole_percents() -> None:
    events = [progressed_event(handle(), seen(percent), percent) for percent in (45, 45.9, 46)]
    assert events[0] == events[1]
    assert events[1].id != events[2].id
    assert events[2].payload["progress_percent"] == 46


def test_the_flow_run_that_an_event_is_for_stands_first() -> None:
    flow_run = FlowRun(id=RUN, flow_id=uuid4(), deployment_id=uuid4(), name="quiet-whale", tags=["b", "a"])
    related = ended_event(partial(), related=related_to(flow_run)).related
    assert [(each["prefect.resource.role"], each["prefect.resource.id"]) for each in related] == [
        ("flow-run", f"prefect.flow-run.{RUN}"),
        ("flow", f"prefect.flow.{flow_run.flow_id}"),
        ("deployment", f"prefect.deployment.{flow_run.deployment_id}"),
        ("tag", "prefect.tag.a"),
        ("tag", "prefect.tag.b"),
        ("connection", f"planasonix.connection.{CONNECTION}"),
    ]
    alone = FlowRun(id=RUN, flow_id=uuid4(), name="quiet-whale")
    assert [each["prefect.resource.role"] for each in related_to(alone)] == ["flow-run", "flow"]


def test_no_event_holds_a_key() -> None:
    key = "plnx_live_" + "k1" * 12
    leaky = outcome(ORDERS, status="failed", error_message=f"api_key={key}", link=f"https://u:{key}@x", id=key)
    assert key not in repr(ended_event(leaky, related=[{"prefect.resource.id": key}]))
    assert key not in repr(started_event(handle(), link=f"https://u:{key}@x"))


def test_events_go_to_prefect_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr("prefect.events.emit_event", lambda **values: sent.append(values))
    event = ended_event(partial(), flow_run_id=RUN)
    emit([event])
    assert sent == [
        {
            "event": event.event,
            "id": event.id,
            "resource": event.resource,
            "related": list(event.related),
            "payload": event.payload,
        }
    ]
