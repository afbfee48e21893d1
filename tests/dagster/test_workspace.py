"""The resource: what it is told, what it hides, and the clients that it hands out."""

import json
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from pydantic import ValidationError

from dagster_planasonix.clients import close_clients, shared_client
from dagster_planasonix.workspace import PlanasonixWorkspace
from planasonix.errors import ConfigurationError
from planasonix.sandbox import Sandbox

KEY = "plnx_live_canary_d4g5"


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_clients()


def test_the_key_shows_nowhere() -> None:
    workspace = PlanasonixWorkspace(api_key=KEY)
    texts = [repr(workspace), str(workspace), repr(workspace.get_client()), f"{workspace!r}"]
    assert all(KEY not in text for text in texts)
    # The UI shows the config of a resource.
    assert PlanasonixWorkspace.to_fields_dict()["api_key"].is_secret


@pytest.mark.parametrize(
    "bad",
    [
        {"api_key": [KEY]},
        {"api_key": "ok", "apikey": KEY},
        {"apikey": KEY},
        {"api_key": KEY, "if_running": "perhaps"},
        {"api_key": KEY, "timeout_seconds": 0},
        {"api_key": KEY, "poll_interval_seconds": -1.0},
    ],
)
def test_what_is_refused_is_not_quoted(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        PlanasonixWorkspace(**bad)
    assert KEY not in str(refused.value)


def test_an_environment_variable_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = PlanasonixWorkspace(api_key=dg.EnvVar("MY_KEY"), organization_id=dg.EnvVar("MY_ORG"))
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="MY_KEY") as missing:
        workspace.get_client()
    assert missing.value.field == "api_key"
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("MY_ORG", "org_1")
    assert workspace.get_client().config.organization_id == "org_1"
    assert workspace.setting("organization_id") == "org_1"


def test_the_key_is_that_of_the_environment_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANASONIX_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="PLANASONIX_API_KEY, which is not set"):
        PlanasonixWorkspace().get_client()
    monkeypatch.setenv("PLANASONIX_API_KEY", KEY)
    keys: list[str] = []

    @dg.op
    def look(planasonix: PlanasonixWorkspace) -> None:
        keys.append(planasonix.api_key)

    @dg.job(resource_defs={"planasonix": PlanasonixWorkspace()})
    def looking() -> None:
        look()

    assert looking.execute_in_process().success
    assert keys == [KEY]


def test_the_settings_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANASONIX_BASE_URL", "https://of.the.environment")
    config = PlanasonixWorkspace(
        api_key=KEY,
        environment="env_1",
        idempotency="honoured",
        idempotency_header="X-Key",
        job_url_template="https://app/{kind}/{id}",
        request_timeout_seconds=7.0,
    )
    made = config.get_client().config
    assert (made.base_url, made.environment, made.idempotency) == ("https://of.the.environment", "env_1", "honoured")
    assert (made.idempotency_header, made.job_url_template) == ("X-Key", "https://app/{kind}/{id}")
    assert made.timeout_seconds == 7.0
    named = PlanasonixWorkspace(api_key=KEY, base_url="https://named.example")
    assert named.get_client().config.base_url == "https://named.example"


def test_a_bad_address_names_the_field() -> None:
    with pytest.raises(ConfigurationError) as refused:
        PlanasonixWorkspace(api_key=KEY, base_url="ftp://api").get_client()
    assert refused.value.field == "base_url"


def test_one_client_for_equal_settings_and_closing_does_no_harm() -> None:
    with Sandbox(api_keys=(KEY,)).serve() as served:
        one = PlanasonixWorkspace(api_key=KEY, base_url=served.url)
        with one.get_client() as client:
            assert client.connections.get("conn_shop_orders").id == "conn_shop_orders"
        again = PlanasonixWorkspace(api_key=KEY, base_url=served.url, if_running="skip").get_client()
        assert again.connections.get("conn_shop_orders").id == "conn_shop_orders"
        assert again._shared is client._shared
        close_clients()
        assert one.get_client().connections.get("conn_shop_orders").id == "conn_shop_orders"


def test_as_a_resource_of_a_job() -> None:
    seen: list[object] = []

    @dg.op
    def look(planasonix: PlanasonixWorkspace) -> None:
        seen.append((planasonix.if_running, planasonix.on_paused, planasonix.get_client().config.host))

    @dg.job
    def looking() -> None:
        look()

    workspace = PlanasonixWorkspace(api_key=KEY, base_url="https://named.example", if_running="attach")
    assert looking.execute_in_process(resources={"planasonix": workspace}).success
    assert seen == [("attach", "fail", "named.example")]


def test_the_import_loads_no_client() -> None:
    code = (
        "import sys, json, dagster; before = set(sys.modules); import dagster_planasonix.workspace, "
        "dagster_planasonix.attempt; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(out.stdout)
    heavy = ("httpx", "planasonix.sandbox", "planasonix.models", "planasonix.client._sync", "uvicorn")
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_a_client_that_nobody_asked_for_is_not_made() -> None:
    with pytest.raises(ConfigurationError):
        shared_client({"api_key": "", "base_url": "https://named.example"})
