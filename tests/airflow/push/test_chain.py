"""A loop of event, DAG, sync and event stops at the set depth, with the chain in the error."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_planasonix.provenance import provenance_of
from airflow_provider_planasonix.push.chain import note_started
from airflow_provider_planasonix.push.event_filter import EventFilter
from planasonix.webhooks import Arrival, Event, Inbox


def context(*payloads: dict[str, Any]) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="report", run_id="run", task_id="sync", map_index=-1, log_url=None)
    events = [SimpleNamespace(extra={"payload": payload}) for payload in payloads]
    return {"ti": ti, "triggering_asset_events": {"asset": events}}


def payload_of(inbox: Inbox, job_id: str, metadata: str = "{}", more: str = "") -> dict[str, Any]:
    body = f'{{"id":"evt_{job_id}","type":"job.succeeded","job_id":"{job_id}","metadata":{metadata}{more}}}'
    inbox.add([Arrival.of(Event.parse(body.encode()))])
    return EventFilter.payload(inbox.read(inbox.last_seq() - 1)[0])


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = f"sqlite:///{tmp_path}/inbox.db"
    monkeypatch.setenv("AIRFLOW__PLANASONIX__INBOX_URL", url)
    with Inbox.open(url) as opened:
        yield opened


def test_a_run_that_no_event_started_has_no_depth() -> None:
    assert provenance_of(context()).depth == 0
    assert provenance_of(context({"somebody": "else's payload"})).depth == 0


def test_a_loop_ends_at_the_depth_without_any_metadata(inbox: Inbox) -> None:
    depths: list[int] = []
    for number in range(3):
        now = context(payload_of(inbox, f"job_{number}"))
        depths.append(provenance_of(now).depth)
        # A retry of the task finds the same.
        assert provenance_of(now).depth == depths[-1]
        note_started(now, "job", f"job_{number + 1}")
    assert depths == [1, 2, 3]
    too_deep = context(payload_of(inbox, "job_3"))
    with pytest.raises(AirflowFailException, match="3 runs in a row") as stopped:
        provenance_of(too_deep)
    assert "job_0" in str(stopped.value)


def test_the_jobs_of_a_backfill_are_as_deep_as_it(inbox: Inbox) -> None:
    first = context(payload_of(inbox, "job_a"))
    assert provenance_of(first).depth == 1
    note_started(first, "backfill", "bf_1")
    assert provenance_of(context(payload_of(inbox, "job_b", more=',"backfill_id":"bf_1"'))).depth == 2
    assert provenance_of(context(payload_of(inbox, "job_c", more=',"backfill_id":"bf_2"'))).depth == 1


def test_what_the_job_itself_tells_counts_too(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from planasonix.runs.metadata_names import DEPTH

    monkeypatch.setenv("AIRFLOW__PLANASONIX__MAX_EVENT_DEPTH", "2")
    assert provenance_of(context(payload_of(inbox, "job_a", f'{{"{DEPTH}": 1}}'))).depth == 2
    # An inbox that is away stops no task, and opens no loop that the job tells of.
    payload = payload_of(inbox, "job_b", f'{{"{DEPTH}": 2}}')
    monkeypatch.setenv("AIRFLOW__PLANASONIX__INBOX_URL", "sqlite:////nowhere/at/all.db")
    with pytest.raises(AirflowFailException, match="starts nothing"):
        provenance_of(context(payload))
