"""The test button's answer, by a hook over HTTP to a live sandbox."""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from planasonix.engine import SYSTEM_CLOCK
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_8e2a"
NO_JOBS = "plnx_live_canary_nojobs"
NO_CONNECTIONS = "plnx_live_canary_noconns"
NO_ORGANIZATION = "plnx_live_canary_noorg"
# A key of its own: in this process a 429 makes all calls of its key wait.
LIMITED = "plnx_live_canary_limited"
KEYS = {
    KEY: None,
    LIMITED: None,
    NO_JOBS: ["connections:read"],
    NO_CONNECTIONS: ["pipelines:read", "pipelines:run"],
    NO_ORGANIZATION: ["connections:read", "pipelines:read", "pipelines:run"],
}


class WrongClock:
    """This machine's clock, so many seconds off."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.monotonic, self.sleep, self.asleep = SYSTEM_CLOCK.monotonic, SYSTEM_CLOCK.sleep, SYSTEM_CLOCK.asleep

    def time(self) -> float:
        return time.time() + self.seconds


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    with Sandbox(api_keys=KEYS).serve() as running:
        yield running


@pytest.fixture
def check(served: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tests a connection with these fields; the key may show in no answer."""
    served.reset()
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

    def run(extra: dict[str, Any] | None = None, clock: Any = None, **fields: Any) -> tuple[bool, str]:
        values = {"conn_type": "planasonix", "host": served.url, "password": KEY, **fields}
        if extra:
            values["extra"] = json.dumps(extra)
        monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(values))
        hook = PlanasonixHook()
        if clock is not None:
            make = hook.get_client
            monkeypatch.setattr(hook, "get_client", lambda **options: make(clock=clock, **options))
        worked, text = hook.test_connection()
        assert not [key for key in KEYS if key in text]
        return worked, text

    return run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_works_and_what_was_not_checked(check: Any, served: Any) -> None:
    worked, text = check()
    assert worked
    host = served.url.removeprefix("http://")
    assert text == (
        f"{host} accepted the key. It belongs to the organization Acme Analytics (org_01jq8acme). Its 21 connections "
        "and its jobs can be read. Not checked, because it would start something: whether the key may start syncs and "
        "backfills, and cancel jobs."
    )
    assert served.jobs_started() == 0


@pytest.mark.parametrize(
    ("key", "works", "says"),
    [
        ("plnx_live_wrong", False, "does not accept the API key (password)"),
        ("plnx_live_wrong", False, "and enter it as the connection's password"),
        (NO_CONNECTIONS, False, "may not list connections: it lacks the right to read connections"),
        (NO_JOBS, False, "may not read jobs, and every wait would fail: it lacks the right to read jobs"),
        (NO_ORGANIZATION, True, "Which organization it belongs to is not known: it may not read that."),
    ],
)
def test_the_missing_right_is_named(check: Any, key: str, works: bool, says: str) -> None:
    worked, text = check(password=key)
    assert worked is works
    assert says in text


def test_another_organization_than_the_one_named(check: Any) -> None:
    worked, text = check({"organization_id": "org_other"})
    assert not worked
    assert "belongs to the organization Acme Analytics (org_01jq8acme), but the connection names org_other" in text
    assert check({"organization_id": "org_01jq8acme"})[0]


@pytest.mark.parametrize(
    ("seconds", "says"),
    # The `Date` has whole seconds, and the answer takes a moment.
    [(-185, "3 min [2-7] s behind"), (7200, "(1 h 59|2 h 0) min ahead of"), (5, None), (0, None)],
)
def test_a_clock_that_is_wrong(check: Any, seconds: float, says: str | None) -> None:
    worked, text = check(clock=WrongClock(seconds))
    assert worked
    assert ("clock" in text) == (says is not None)
    if says is not None:
        assert re.search(rf"This machine's clock is {says} the API's: .* set it by a time server", text)


def test_a_refusal_tells_of_the_clock_too(check: Any) -> None:
    worked, text = check(clock=WrongClock(-7200), password=NO_JOBS)
    assert not worked
    assert "may not read jobs" in text
    assert "behind the API's" in text


def test_a_proxy_that_is_not_there(check: Any) -> None:
    proxy = f"http://user:hunter2secret@127.0.0.1:{free_port()}"
    worked, text = check({"proxy": proxy})
    assert not worked
    assert "was not reached: check host, port, extra proxy" in text
    assert "hunter2secret" not in text


def test_a_wrong_path(check: Any, served: Any) -> None:
    worked, text = check(host=f"{served.url}/planasonix")
    assert not worked
    assert "has no Planasonix API there: check host, and extra path_prefixes" in text


def test_an_unknown_host(check: Any) -> None:
    worked, text = check(host="https://api.planasonix.invalid")
    assert not worked
    assert "was not reached: check host" in text


def test_nobody_listens(check: Any) -> None:
    worked, text = check(host=f"http://127.0.0.1:{free_port()}")
    assert not worked
    assert "was not reached" in text


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "error", "status": 500, "times": 9}, "but failed"),
        ({"kind": "error", "status": 200, "body": "<html>hello</html>", "times": 9}, "not the Planasonix API"),
    ],
)
def test_a_server_that_answers_otherwise(check: Any, served: Any, fault: dict[str, Any], says: str) -> None:
    served.fault("connections.list", **fault)
    worked, text = check()
    assert not worked
    assert says in text


def test_a_rate_limit(check: Any, served: Any) -> None:
    served.fault("connections.list", "error", status=429, times=9, retry_after=60)
    worked, text = check(password=LIMITED)
    assert not worked
    assert "limits the rate now: try again later" in text


def test_an_organization_that_cannot_be_read_fails_nothing(check: Any, served: Any) -> None:
    served.fault("organization.get", "error", status=500, times=9)
    worked, text = check()
    assert worked
    assert "Which organization it belongs to is not known: organization.get: HTTP 500" in text


def test_a_connection_that_is_incomplete(check: Any) -> None:
    worked, text = check(password="")
    assert not worked
    assert "field password" in text


def test_a_connection_that_does_not_exist() -> None:
    worked, text = PlanasonixHook("nowhere").test_connection()
    assert not worked
    assert "nowhere" in text
