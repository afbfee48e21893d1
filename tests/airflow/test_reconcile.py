"""The Airflow source of reconcile against a stand-in for Airflow's REST API."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from airflow_provider_planasonix import reconcile_task
from airflow_provider_planasonix.ledger import KEY
from airflow_provider_planasonix.reconcile import ALIVE, ENDED, AirflowSource, source
from airflow_provider_planasonix.reconcile_rest import AirflowApiError, AirflowRest
from planasonix.errors import ConfigurationError
from planasonix.runs import Entry, Provenance, Record, SyncRequest, Unreadable, source_named

URL = "http://airflow.test/base"
TOKEN = "airflow-token-canary-77"
PASSWORD = "airflow-password-canary-78"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
ENDED_AT = "2026-03-01T11:00:00Z"


def record(run_id: str = "job_1", **changes: Any) -> dict[str, Any]:
    made = Record.fresh("token", SyncRequest("conn_1"), Provenance("x", "x").metadata("token", 0))
    return replace(made, run_id=run_id, sent_at=NOW - 9000, **changes).to_dict()


class FakeAirflow:
    """Task instances, their stores, and the parts of the API that reconcile reads; pages of two."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.stores: dict[tuple[str, int], dict[str, Any]] = {}
        self.queries: list[httpx.QueryParams] = []
        self.listed: list[str] = []
        self.answers: list[int | Exception] = []
        self.stores_broken: set[str] = set()
        self.logins: list[tuple[str, str]] = []
        self.valid_token = TOKEN
        self.slept: list[float] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def task(self, task_id: str, state: str | None, *, map_index: int = -1, **store: Any) -> dict[str, Any]:
        row = {
            "dag_id": "my dag",
            "dag_run_id": "manual__2026-03-01T00:00:00+00:00",
            "task_id": task_id,
            "map_index": map_index,
            "state": state,
            "end_date": ENDED_AT if state in ENDED else None,
        }
        self.rows.append(row)
        self.stores[task_id, map_index] = store
        return row

    def rest(self, **options: Any) -> AirflowRest:
        options = {"token": TOKEN} | options
        return AirflowRest(URL, transport=httpx.MockTransport(self.handle), sleep=self.slept.append, **options)

    def source(self, **options: Any) -> AirflowSource:
        return AirflowSource(self.rest(), now=lambda: NOW, **options)

    def handle(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self._answer(request)
        finally:
            with self._lock:
                self.at_once -= 1

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(answer, headers={"Retry-After": "7"} if answer == 429 else {})
        path = request.url.raw_path.decode().partition("?")[0].removeprefix("/base")
        if path == "/auth/token":
            self.logins.append((request.method, request.content.decode()))
            return httpx.Response(201, json={"access_token": self.valid_token})
        if request.headers["Authorization"] != f"Bearer {self.valid_token}":
            return httpx.Response(401, text=request.headers["Authorization"])
        run = "/api/v2/dags/my%20dag/dagRuns/manual__2026-03-01T00%3A00%3A00%2B00%3A00/taskInstances/"
        query = request.url.params
        if listed := re.fullmatch(r"/api/v2/dags/(~|my%20dag)/dagRuns/~/taskInstances", path):
            self.listed.append(listed[1])
            self.queries.append(query)
            first = int(query["cursor"] or 0)
            rows = [row for row in self.rows if row["state"] in query.get_list("state")]
            more = str(first + 2) if len(rows) > first + 2 else None
            return httpx.Response(200, json={"task_instances": rows[first : first + 2], "next_cursor": more})
        if not path.startswith(run):
            return httpx.Response(404)
        rest = path.removeprefix(run)
        if found := re.fullmatch(r"(\w+)/state-store", rest):
            if found[1] in self.stores_broken:
                return httpx.Response(403)
            items = self._items(found[1], int(query["map_index"]))
            first = int(query["offset"])
            return httpx.Response(200, json={"task_state_store": items[first : first + 2], "total_entries": len(items)})
        if found := re.fullmatch(r"(\w+)/state-store/(.+)", rest):
            items = [item for item in self._items(found[1], int(query["map_index"])) if item["key"] == found[2]]
            return httpx.Response(200, json=items[0]) if items else httpx.Response(404)
        found = re.fullmatch(r"(\w+)(?:/(\d+))?", rest)
        assert found, rest
        wanted = found[1], int(found[2] or -1)
        rows = [row for row in self.rows if (row["task_id"], row["map_index"]) == wanted]
        return httpx.Response(200, json=rows[0]) if rows else httpx.Response(404)

    def _items(self, task_id: str, map_index: int) -> list[dict[str, Any]]:
        store = self.stores.get((task_id, map_index), {})
        return [{"key": key, "value": value} for key, value in sorted(store.items())]


@pytest.fixture
def fake() -> FakeAirflow:
    return FakeAirflow()


def test_entries_of_tasks_and_stages(fake: FakeAirflow) -> None:
    fake.task("sync", "failed", **{KEY: {"record": record()}, "users_own": 1})
    fake.task("sync", "success", map_index=3, **{KEY: {"record": record("job_2", leave_running=True)}})
    fake.task("idle", "skipped", **{KEY: {"record": None}})
    fake.task("other", "failed")
    stages = {f"{KEY}/{name}": {**record(f"bf_{name}"), "epoch": 2, "digest": "x"} for name in ("a", "b", "c")}
    fake.task("staged", "removed", **{KEY: {"version": 1, "record": None}, f"{KEY}/wish": {"version": 1}, **stages})
    fake.task("running", "deferred", **{KEY: {"record": record("job_9")}})
    entries = list(fake.source().entries())
    prefix = "my dag/manual__2026-03-01T00:00:00+00:00"
    assert [(e.slot, e.record.run_id, e.owner, e.owner_text) for e in entries if isinstance(e, Entry)] == [
        (f"{prefix}/sync", "job_1", "ended", "failed"),
        (f"{prefix}/sync[3]", "job_2", "ended", "success"),
        (f"{prefix}/staged a", "bf_a", "ended", "removed"),
        (f"{prefix}/staged b", "bf_b", "ended", "removed"),
        (f"{prefix}/staged c", "bf_c", "ended", "removed"),
    ]
    assert len(entries) == 5
    first, second = entries[:2]
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert first.ended_at == datetime.fromisoformat(ENDED_AT).timestamp()
    assert second.record.leave_running
    run = "manual__2026-03-01T00%3A00%3A00%2B00%3A00"
    assert second.link == f"{URL}/dags/my%20dag/runs/{run}/tasks/sync/mapped/3"


def test_what_is_asked_for(fake: FakeAirflow) -> None:
    for number in range(5):
        fake.task(f"t{number}", "failed", **{KEY: {"record": record(f"job_{number}")}})
    assert len(list(fake.source(operators=["MySync"], since_hours=6).entries())) == 5
    assert [query["cursor"] for query in fake.queries] == ["", "2", "4"]
    query = fake.queries[0]
    assert query.get_list("state") == list(ENDED)
    assert {"PlanasonixSyncOperator", "PlanasonixBackfillOperator", "MySync"} <= set(query.get_list("operator"))
    assert query["updated_at_gte"] == "2026-03-01T06:00:00+00:00"


def test_some_dags_only(fake: FakeAirflow) -> None:
    fake.task("sync", "failed", **{KEY: {"record": record()}})
    assert len(list(fake.source(dag_ids=["my dag"]).entries())) == 1
    assert fake.listed == ["my%20dag"]
    with pytest.raises(ConfigurationError, match="task instances of nosuch"):
        list(fake.source(dag_ids=["nosuch"]).entries())


@pytest.mark.parametrize("state", [None, *sorted(ALIVE), *ENDED, "a_word_of_tomorrow"])
def test_the_owner_is_asked_again(fake: FakeAirflow, state: str | None) -> None:
    row = fake.task("sync", "failed", map_index=2, **{KEY: {"record": record()}})
    asked = fake.source()
    [entry] = asked.entries()
    row["state"] = state
    again = asked.refresh(entry.slot)
    assert again is not None
    wanted = "ended" if state in ENDED else "alive" if state in ALIVE or state is None else "unknown"
    assert (again.owner, again.owner_text) == (wanted, state or "cleared")


def test_every_state_of_airflow_is_known() -> None:
    from airflow.utils.state import TaskInstanceState

    assert {state.value for state in TaskInstanceState} == {*ENDED, *ALIVE}


def test_an_entry_that_is_gone(fake: FakeAirflow) -> None:
    fake.task("sync", "failed", **{f"{KEY}/20260101T000000Z": record()})
    asked = fake.source()
    [entry] = asked.entries()
    assert asked.refresh(entry.slot) == entry
    fake.stores.clear()
    assert asked.refresh(entry.slot) is None
    fake.rows.clear()
    assert asked.refresh(entry.slot) is None


def test_one_that_cannot_be_read_does_not_hide_the_others(fake: FakeAirflow) -> None:
    fake.task("secret", "failed")
    fake.task("odd", "failed", **{KEY: {"record": {"operation": "x"}}, f"{KEY}/s": [1]})
    fake.task("sync", "failed", **{KEY: {"record": record()}})
    fake.stores_broken = {"secret"}
    kinds = [type(entry) for entry in fake.source().entries()]
    assert kinds == [Unreadable, Unreadable, Unreadable, Entry]


def test_calls_are_few_at_a_time(fake: FakeAirflow) -> None:
    for number in range(40):
        fake.task(f"t{number}", "failed", **{KEY: {"record": record()}})
    assert len(list(fake.source(max_parallel=2).entries())) == 40
    assert fake.most_at_once <= 2


def test_a_weak_server_is_asked_again_with_pauses(fake: FakeAirflow) -> None:
    fake.answers = [503, httpx.ConnectError("down"), 429, 500]
    assert list(fake.source().entries()) == []
    assert len(fake.slept) == 4
    assert fake.slept[2] >= 7.0


@pytest.mark.parametrize("answer", [503, httpx.ReadTimeout("x")])
def test_a_server_that_stays_away(fake: FakeAirflow, answer: Any) -> None:
    fake.answers = [answer] * 9
    with pytest.raises(AirflowApiError):
        list(fake.source().entries())
    assert len(fake.answers) == 4


def test_logging_in(fake: FakeAirflow) -> None:
    rest = fake.rest(token=None, username="ann", password=PASSWORD)
    assert rest.get("/dags/~/dagRuns/~/taskInstances", {"cursor": "", "state": []})["task_instances"] == []
    fake.valid_token = "the next one"
    assert rest.get("/dags/~/dagRuns/~/taskInstances", {"cursor": "", "state": []})["task_instances"] == []
    assert fake.logins == [("POST", json.dumps({"username": "ann", "password": PASSWORD}, separators=(",", ":")))] * 2
    assert PASSWORD not in repr(rest)
    anybody = fake.rest(token=None)
    anybody.get("/dags/~/dagRuns/~/taskInstances", {"cursor": ""})
    assert fake.logins[-1] == ("GET", "")


def test_a_refused_token_is_not_told(fake: FakeAirflow) -> None:
    fake.valid_token = "another"
    with pytest.raises(ConfigurationError) as caught:
        list(fake.source().entries())
    assert TOKEN not in str(caught.value) + repr(caught.value)
    assert "PLANASONIX_AIRFLOW_TOKEN" in str(caught.value)
    assert fake.logins == []


def test_an_airflow_without_the_route(fake: FakeAirflow) -> None:
    fake.answers = [404]
    with pytest.raises(ConfigurationError, match="lists no task instances"):
        list(fake.source().entries())


@pytest.mark.parametrize(
    ("options", "environment", "text"),
    [
        ({}, {}, "PLANASONIX_AIRFLOW_URL"),
        ({"url": "airflow.test"}, {}, "http"),
        ({"url": f"http://ann:{PASSWORD}@airflow.test"}, {}, "without user and password"),
        ({"url": URL, "password": PASSWORD}, {}, "no option 'password'"),
        ({"url": URL, "max_parallel": "0"}, {}, "max_parallel"),
        ({"url": URL, "max_parallel": "many"}, {}, "max_parallel"),
        ({"url": URL}, {"PLANASONIX_AIRFLOW_USERNAME": "ann"}, "needs a password"),
    ],
)
def test_wrong_options(
    options: dict[str, str], environment: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("URL", "TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"PLANASONIX_AIRFLOW_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        source(None, options)
    assert text in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_it_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANASONIX_AIRFLOW_TOKEN", TOKEN)
    found = source_named("airflow", 3.0, {"url": URL, "operators": "MySync, MyBackfill"})
    assert isinstance(found, AirflowSource)
    assert TOKEN not in repr(vars(found))
    found.close()


@pytest.mark.parametrize(
    ("environment", "base_url", "asked"),
    [
        ("http://inside.test:8080", "https://airflow.test", "http://inside.test:8080"),
        ("http://inside.test:8080", "", "http://inside.test:8080"),
        ("", "https://airflow.test", "https://airflow.test"),
        ("", "", None),
        ("", "/", None),
    ],
)
def test_a_task_knows_where_the_api_server_is(
    environment: str, base_url: str, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain `airflow standalone` has no `[api] base_url`; workers may reach the server by another one."""
    urls: list[str] = []

    def unreachable(self: Any, url: str, **_: Any) -> None:
        urls.append(url)
        raise AirflowApiError("not asked in this test")

    monkeypatch.setattr(AirflowRest, "__init__", unreachable)
    monkeypatch.setattr(reconcile_task, "api_base_url", lambda: base_url)
    monkeypatch.setenv("PLANASONIX_AIRFLOW_URL", environment)
    with pytest.raises(AirflowApiError if asked else ConfigurationError) as caught:
        reconcile_task.reconcile_airflow()
    assert urls == ([asked] if asked else [])
    if asked is None:
        text = str(caught.value)
        assert all(word in text for word in ("PLANASONIX_AIRFLOW_URL", "base_url", "airflow_conn_id")), text
