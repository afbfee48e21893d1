"""What Airflow's real StatsD logger sends for us, caught on a UDP socket."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk._shared.observability.metrics import stats
from airflow.sdk._shared.observability.metrics.statsd_logger import get_statsd_logger
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_planasonix import metrics
from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.operators.backfill import PlanasonixBackfillOperator
from planasonix.errors import PlanasonixError
from planasonix.runs import MemoryLedger, Outcome, Policy, Provenance, SyncRequest, start_run
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_5d1c"


class Caught:
    """The datagrams so far."""

    def __init__(self, at: socket.socket) -> None:
        self._at = at
        self._at.setblocking(False)

    def lines(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._at.recv(65536).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> Iterator[Caught]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as at:
        at.bind(("127.0.0.1", 0))
        port = at.getsockname()[1]

        def factory() -> Any:
            return get_statsd_logger(
                stats_class=__import__("statsd").StatsClient,
                host="127.0.0.1",
                port=port,
                prefix="airflow",
                ipv6=False,
                influxdb_tags_enabled=True,
                statsd_influxdb_enabled=True,
            )

        for name, value in {"_factory": factory, "_backend": None}.items():
            monkeypatch.setattr(stats, name, value)
        yield Caught(at)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with Sandbox(api_keys=(KEY,), speed=1000).serve() as running:
        values = {"conn_type": "planasonix", "host": running.url, "password": KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(values))
        yield running


class Store(dict[str, Any]):
    """Airflow's task state store, as far as it is used."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def context_of(task: Any) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="nightly", run_id="manual__1", task_id="load", map_index=-1, try_number=1, max_tries=1, log_url=None
    )
    return {"ti": ti, "task": task, "dag_run": SimpleNamespace(clear_number=0), "task_state_store": Store()}


def names(lines: list[str]) -> list[str]:
    return [line.partition(":")[0].removeprefix("airflow.planasonix.") for line in lines]


def test_a_client_counts_its_calls_starts_and_cancels(caught: Caught, served: Any) -> None:
    with PlanasonixHook().get_client() as client:
        job = client.connections.sync("conn_shop_orders")
        client.jobs.cancel(job.id)
    lines = caught.lines()
    assert "airflow.planasonix.start,kind=job:1|c" in lines
    assert "airflow.planasonix.cancel,kind=job:1|c" in lines
    assert "airflow.planasonix.api_calls,operation=connections_sync,status=2xx:1|c" in lines
    assert KEY not in str(lines)
    assert job.id not in str(lines)


def test_a_triggers_client_counts_too(caught: Caught, served: Any) -> None:
    served.fault("jobs.list", "error", status=429)

    async def look() -> None:
        async with await PlanasonixHook().get_async_client() as client:
            await client.jobs.list_page()

    asyncio.run(look())
    lines = caught.lines()
    assert "airflow.planasonix.rate_limited,operation=jobs_list:1|c" in lines
    assert "airflow.planasonix.api_calls,operation=jobs_list,status=4xx:1|c" in lines


@pytest.mark.parametrize("tries", [1, 2])
def test_a_lost_answer_is_counted_once_a_try(caught: Caught, served: Any, tries: int) -> None:
    served.fault("jobs.list", "reset", times=9)
    with PlanasonixHook().get_client(max_tries=tries) as client, pytest.raises(PlanasonixError):
        client.jobs.list_page()
    lost = "airflow.planasonix.api_calls,operation=jobs_list,status=lost:1|c"
    assert caught.lines().count(lost) == tries


def test_how_a_try_came_to_its_run(caught: Caught, served: Any) -> None:
    served.script("conn_shop_orders", "stuck")
    ledger, policy = MemoryLedger(), Policy(if_running="attach")
    with PlanasonixHook().get_client() as client:

        def start(intent: str, at: Any, **how: Any) -> None:
            metrics.count_started(
                start_run(
                    client,
                    SyncRequest("conn_shop_orders"),
                    intent=intent,
                    ledger=at,
                    provenance=Provenance("airflow", "airflow_dag_d"),
                    **how,
                )
            )

        start("mine", ledger)
        start("mine", ledger)
        start("other", MemoryLedger())
        start("another", MemoryLedger(), policy=policy)
    ways = [name for name in names(caught.lines()) if not name.startswith("api_calls")]
    assert ways == ["start,kind=job", "reattach,kind=job", "busy_wait,kind=job", "adopt,kind=job"]


def test_a_stage_that_waits_for_a_busy_connection(caught: Caught, served: Any) -> None:
    served.fault("connections.backfill", "error", status=409)
    operator = PlanasonixBackfillOperator(
        task_id="load",
        connection_id="conn_shop_orders",
        start_at="2026-01-01T00:00Z",
        end_at="2026-01-03T00:00Z",
        stage="1d",
        deferrable=True,
    )
    with PlanasonixHook().get_client() as client, pytest.raises(TaskDeferred):
        operator.new_attempt(context_of(operator)).run(client, operator.run_request({}))
    assert "airflow.planasonix.busy_wait,kind=job:1|c" in caught.lines()


def test_an_end_with_its_duration(caught: Caught) -> None:
    outcome = Outcome(
        kind="job", id="job_1", connection_id="conn_1", status="failed", api_status="failed", duration_seconds=1.5
    )
    metrics.count_end(outcome)
    assert caught.lines() == [
        "airflow.planasonix.finish,kind=job,status=failed:1|c",
        "airflow.planasonix.duration,kind=job,status=failed:1500.000000|ms",
    ]


def test_a_broken_statsd_breaks_nothing(monkeypatch: pytest.MonkeyPatch, served: Any) -> None:
    def broken() -> Any:
        raise RuntimeError("no metrics today")

    monkeypatch.setattr(metrics, "stats", broken)
    with PlanasonixHook().get_client() as client:
        assert client.connections.sync("conn_shop_orders").id
    metrics.count("cancel", kind="job")


def test_every_name_that_is_sent_is_documented() -> None:
    folder = Path(metrics.__file__).parent
    sent = set()
    for file in folder.rglob("*.py"):
        sent |= set(re.findall(r'(?<![.\w])(?:count|_time)\("(\w+)"', file.read_text()))
    documented = set(re.findall(r"^planasonix\.(\w+)", metrics.__doc__ or "", re.MULTILINE))
    assert sent == documented
