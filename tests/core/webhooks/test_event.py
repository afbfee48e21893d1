from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planasonix.models import Backfill, Job, PipelineRun
from planasonix.webhooks import Event, UnreadableEvent


def _parse(**body: Any) -> Event:
    return Event.parse(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "kind", "object_id", "status"),
    [
        ({"type": "job.succeeded", "job_id": "j"}, "job", "j", "succeeded"),
        ({"type": "job.completed", "job_id": "j", "data": {"status": "completed"}}, "job", "j", "succeeded"),
        ({"type": "job.failed", "data": {"job_id": "j"}}, "job", "j", "failed"),
        ({"type": "job.failed", "jobId": "j"}, "job", "j", "failed"),
        ({"type": "job.canceled", "data": {"job": {"id": "j"}}}, "job", "j", "cancelled"),
        ({"type": "job.succeeded", "data": {"job": {"job_id": "j", "status": "succeeded"}}}, "job", "j", "succeeded"),
        ({"type": "backfill.completed", "backfill_id": "b"}, "backfill", "b", "succeeded"),
        ({"type": "backfill.failed", "backfill": {"id": "b"}}, "backfill", "b", "failed"),
        ({"type": "pipeline.run.failed", "data": {"runId": "r"}}, "run", "r", "failed"),
        ({"type": "sync.finished", "job_id": "j", "status": "partial"}, "job", "j", "failed"),
        # The run is over, and how is the body's to say; a word that nobody knows says nothing.
        ({"type": "job.completed", "job_id": "j", "data": {"status": "failed"}}, "job", "j", "failed"),
        ({"type": "job.completed", "job_id": "j", "data": {"status": "odd"}}, "job", "j", None),
        ({"type": "job.started", "job_id": "j"}, "job", "j", None),
        ({"type": "job.succeeded", "job_id": 7}, "job", None, "succeeded"),
        ({"type": "policy.changed", "status": "failed"}, None, None, None),
        ({"type": "job.failed", "id": "job_1"}, "job", "job_1", "failed"),
        ({"type": "job.failed", "id": "evt_1"}, "job", None, "failed"),
        ({"event": "job.failed", "job_id": "j"}, "job", "j", "failed"),
    ],
)
def test_both_vocabularies(body: dict[str, Any], kind: str | None, object_id: str | None, status: str | None) -> None:
    event = _parse(**body)
    assert (event.kind, event.object_id, event.status) == (kind, object_id, status)
    assert event.job_id == (object_id if kind == "job" else None)


def test_the_id_is_the_bodys_own_and_else_its_hash() -> None:
    assert _parse(id="evt_1", type="job.failed", job_id="j").event_id == "evt_1"
    for body in (
        b'{"type": "job.failed", "job_id": "j"}',
        # Else the failure of a run would be taken for a repetition of its start.
        b'{"id": "job_1", "type": "job.failed"}',
        b'{"id": "j", "type": "job.failed", "job_id": "j"}',
        b'{"id": "evt\\u0000", "type": "job.failed"}',
    ):
        assert Event.parse(body).event_id == "sha256:" + hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (1772366400, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (1772366400000, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("yesterday", None),
        ("0001-01-01T00:00:00Z", None),
        (True, None),
        (10**400, None),
    ],
)
def test_the_time_of_the_body(said: Any, meant: datetime | None) -> None:
    assert _parse(type="job.failed", timestamp=said).occurred_at == meant


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "data", "job"]), inner),
    max_leaves=5,
)
_bodies = st.binary() | st.dictionaries(
    st.sampled_from(["id", "type", "job_id", "backfill_id", "timestamp", "status", "data", "job", "connection_id"]),
    _json,
).map(lambda body: json.dumps(body).encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_bodies)
def test_any_body_is_an_event_or_one_error(body: bytes) -> None:
    try:
        event = Event.parse(body)
    except UnreadableEvent:
        return
    for name in (event.event_id, event.type, event.object_id, event.connection_id):
        assert name is None or (name.isprintable() and len(name) <= 200 and name.encode())
    assert event.occurred_at is None or event.occurred_at.tzinfo is UTC


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"type": ""}', b"[" * 100_000, b'{"type": "a", "n": NaN}'])
def test_what_is_no_event_is_told_without_a_quote(body: bytes) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        Event.parse(body)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 80


def test_a_body_nested_too_deeply_to_be_written_again_is_none() -> None:
    for depth in (100, 500, 900, 990):
        with pytest.raises(UnreadableEvent):
            Event.parse(b'{"type": "a", "data": ' + b"[" * depth + b"]" * depth + b"}")
    Event.parse(b'{"type": "a", "data": ' + b"[" * 20 + b"]" * 20 + b', "flat": [' + b"[],{}," * 500 + b"1]}")


@pytest.mark.parametrize(
    ("run", "kind", "type_", "status"),
    [
        (Job.read({"id": "j", "status": "cancelled", "connection_id": "c"}), "job", "job.cancelled", "cancelled"),
        (Job.read({"id": "j", "status": "partial"}), "job", "job.failed", "failed"),
        (Backfill.read({"id": "b", "status": "completed"}), "backfill", "backfill.completed", "succeeded"),
        (Backfill.read({"id": "b", "status": "failed"}), "backfill", "backfill.failed", "failed"),
        (PipelineRun.read({"id": "r", "status": "canceled"}), "run", "run.cancelled", "cancelled"),
    ],
)
def test_what_the_sweep_found_reads_like_a_delivery(run: Any, kind: Any, type_: str, status: str) -> None:
    event = Event.of_run(run, kind)
    assert event == Event.of_run(run, kind)
    assert (event.type, event.kind, event.object_id, event.status) == (type_, kind, run.id, status)
    read = Event.parse(json.dumps(event.payload).encode())
    assert read == event


def test_the_sweeps_time_is_the_end_of_the_run() -> None:
    job = Job.read({"id": "j", "status": "failed", "finished_at": "2026-03-01T12:00:00.25Z"})
    event = Event.of_run(job, "job")
    assert event.occurred_at == datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    assert Event.parse(json.dumps(event.payload).encode()) == event
    with pytest.raises(ValueError, match="has not ended"):
        Event.of_run(Job.read({"id": "j", "status": "running"}), "job")


def test_it_travels_and_its_repr_shows_no_payload() -> None:
    event = _parse(id="evt_1", type="job.failed", job_id="j", note="customer 4711")
    assert pickle.loads(pickle.dumps(event)) == event
    assert {event} == {event}
    assert "4711" not in repr(event)


def test_the_names_are_cheap() -> None:
    """No database, web server or model library for whoever only checks a signature or names the inbox."""
    program = (
        "import sys, planasonix.webhooks as w;"
        "w.Event, w.Inbox, w.Arrival, w.StoredEvent, w.InboxUnavailable, w.consume;"
        "print([m for m in ('sqlalchemy', 'psycopg', 'pydantic', 'httpx', 'starlette', 'uvicorn', 'click')"
        " if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
