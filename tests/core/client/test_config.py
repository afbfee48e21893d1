"""What a client accepts as its settings, and how it refuses the rest."""

from __future__ import annotations

import pickle

import pytest

from planasonix import AsyncPlanasonix, Planasonix
from planasonix.client.base_url import normalize_base_url
from planasonix.client.config import package_version
from planasonix.client.link_template import NAMES
from planasonix.errors import ConfigurationError
from planasonix.runs import RunHandle

KEY = "plnx_live_abc"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://api.planasonix.com", "https://api.planasonix.com"),
        ("https://api.planasonix.com/", "https://api.planasonix.com"),
        ("api.planasonix.com", "https://api.planasonix.com"),
        ("API.Planasonix.com", "https://api.planasonix.com"),
        ("acme.planasonixapis.com/v1", "https://acme.planasonixapis.com/v1"),
        ("https://acme.planasonixapis.com/v1/", "https://acme.planasonixapis.com/v1"),
        ("https://api.planasonix.com/api/v1", "https://api.planasonix.com"),
        ("https://api.planasonix.com/api/", "https://api.planasonix.com"),
        ("https://proxy.example.com/planasonix/api/v1", "https://proxy.example.com/planasonix"),
        ("localhost:8765", "http://localhost:8765"),
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("[::1]:8765", "http://[::1]:8765"),
        ("http://sandbox:8765", "http://sandbox:8765"),
        ("  https://api.planasonix.com  ", "https://api.planasonix.com"),
        ("localhost.example.com", "https://localhost.example.com"),
    ],
)
def test_base_urls(given, expected):
    assert normalize_base_url(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "   ",
        "ftp://api.planasonix.com",
        "https://",
        "https://api.planasonix.com?x=1",
        "https://api.planasonix.com#x",
        "https://user:hunter22secret@api.planasonix.com",
        "https://api.planasonix.com:port",
        "https://[::1",
        "https://api planasonix.com",
        None,
        5,
    ],
)
def test_refused_base_urls(given):
    with pytest.raises(ConfigurationError) as caught:
        normalize_base_url(given)
    assert caught.value.field == "base_url"
    assert "https://" in caught.value.hint
    assert "hunter22secret" not in str(caught.value)


def test_environment(monkeypatch):
    monkeypatch.setenv("PLANASONIX_API_KEY", KEY)
    monkeypatch.setenv("PLANASONIX_BASE_URL", "localhost:1")
    assert Planasonix().config.base_url == "http://localhost:1"
    assert Planasonix(base_url="localhost:2").config.base_url == "http://localhost:2"
    monkeypatch.delenv("PLANASONIX_BASE_URL")
    assert Planasonix().config.base_url == "https://api.planasonix.com"


@pytest.mark.parametrize("key", ["", "  ", "two words", "with\nbreak", "ключ", 5])
def test_refused_keys(key, monkeypatch):
    monkeypatch.delenv("PLANASONIX_API_KEY", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        Planasonix(key)
    assert caught.value.field == "api_key"
    assert caught.value.hint


def test_no_key_at_all(monkeypatch):
    monkeypatch.delenv("PLANASONIX_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="PLANASONIX_API_KEY"):
        AsyncPlanasonix()


@pytest.mark.parametrize("key", ["plnx_live_x", "flx_x", "plx_live_x", "anything"])
def test_key_prefixes_are_not_checked(key):
    assert Planasonix(f" {key}\n").config.api_key.reveal() == key


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": "30"},
        {"connect_timeout_seconds": -1},
        {"deadline_seconds": 0},
        {"max_tries": 0},
        {"max_tries": 1.5},
        {"max_tries": True},
        {"max_connections": 0},
        {"idempotency": "maybe"},
        {"run_idempotency": "maybe"},
        {"idempotency_header": "two words"},
        {"idempotency_header": ""},
        {"organization_id": "org\r\nx: y"},
        {"path_prefixes": {"unknown": "/v1"}},
        {"routes": {"jobs.unknown": "GET /x"}},
        {"routes": {"jobs.get": "/x"}},
        {"routes": {"jobs.get": "get /x"}},
        {"routes": {"jobs.get": "GET x"}},
    ],
    ids=str,
)
def test_refused_settings(settings):
    with pytest.raises(ConfigurationError) as caught:
        Planasonix(KEY, **settings)
    assert caught.value.field == next(iter(settings))
    assert caught.value.outcome == "not_sent"


def test_prefixes_and_routes():
    config = Planasonix(
        KEY,
        path_prefixes={"orchestration": "v1/"},
        routes={"connections.get": "GET /legacy/{connection_id}/info"},
    ).config
    assert config.endpoint("jobs.get", {"job_id": "job_1"})[1:] == ("GET", "/v1/jobs/job_1")
    assert config.endpoint("connections.list", {})[2] == "/api/connections"
    assert config.endpoint("connections.get", {"connection_id": "a b%"})[2] == "/legacy/a%20b%25/info"
    assert Planasonix(KEY, path_prefixes={"orchestration": ""}).config.endpoint("jobs.list", {})[2] == "/jobs"


def test_credential_id_is_stable_and_tells_hosts_and_keys_apart():
    one = Planasonix(KEY, "localhost:1").config
    assert one.credential_id == AsyncPlanasonix(KEY, "http://localhost:1/").config.credential_id
    assert one.credential_id != Planasonix(KEY, "localhost:2").config.credential_id
    assert one.credential_id != Planasonix(KEY + "d", "localhost:1").config.credential_id
    assert KEY not in one.credential_id
    assert one.share_key == Planasonix(KEY, "localhost:1").config.share_key
    assert one.share_key != Planasonix(KEY, "localhost:1", transport=object()).config.share_key


def test_clients_that_see_the_same_runs():
    one = Planasonix(KEY, "localhost:1", routes={"jobs.get": "GET /a", "jobs.list": "GET /b"})
    same = AsyncPlanasonix(KEY, "localhost:1", max_tries=1, routes={"jobs.list": "GET /b", "jobs.get": "GET /a"})
    assert one.config.watch_key == same.config.watch_key
    assert len({one.config.watch_key, same.config.watch_key}) == 1
    others = [
        Planasonix(KEY + "d", "localhost:1", routes=one.config.routes),
        Planasonix(KEY, "localhost:1", routes=one.config.routes, organization_id="org_1"),
        Planasonix(KEY, "localhost:1", routes=one.config.routes, transport=object()),
        one.with_options(routes={}),
        one.with_options(path_prefixes={"orchestration": "/v1"}),
    ]
    assert len({client.config.watch_key for client in (one, *others)}) == 6
    assert one.config.share_key == others[1].config.share_key


def test_repr_shows_the_host_and_nothing_else():
    client = Planasonix(KEY, "acme.planasonixapis.com/v1", proxy="http://u:proxypass1@p:1", organization_id="org_1")
    assert repr(client) == "Planasonix('acme.planasonixapis.com')"
    assert repr(AsyncPlanasonix(KEY)) == "AsyncPlanasonix('api.planasonix.com')"
    shown = repr(client.config) + str(vars(client.config)) + str(vars(client))
    assert KEY not in shown
    assert "proxypass1" not in shown


@pytest.mark.parametrize("make", [Planasonix, AsyncPlanasonix])
def test_neither_client_nor_settings_are_pickled(make):
    client = make(KEY)
    for thing in (client, client.config, client.config.api_key):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(thing)


@pytest.mark.parametrize("make", [Planasonix, AsyncPlanasonix])
def test_a_copy_shares_connections_and_budgets(make):
    client = make(KEY, timeout_seconds=30, path_prefixes={"connections": "/rest"})
    copy = client.with_options(timeout_seconds=3, deadline_seconds=None, path_prefixes={"orchestration": "/v1"})
    assert (copy.config.timeout_seconds, copy.config.deadline_seconds) == (3, None)
    assert copy.config.path_prefixes == {
        "orchestration": "/v1",
        "connections": "/rest",
        "pipelines": "/api",
        "account": "/api",
    }
    assert client.config.timeout_seconds == 30
    assert copy._shared is client._shared
    assert type(copy) is make


@pytest.mark.parametrize("name", ["api_key", "base_url", "proxy", "transport", "max_connections", "nonsense"])
def test_a_copy_cannot_change_its_connections(name):
    with pytest.raises(ConfigurationError, match=name):
        Planasonix(KEY).with_options(**{name: "x"})


def test_a_copy_checks_its_settings_too():
    with pytest.raises(ConfigurationError, match="max_tries"):
        Planasonix(KEY).with_options(max_tries=0)


def test_clients_of_one_credential_share_the_pacer():
    one, other = Planasonix(KEY, "localhost:1"), AsyncPlanasonix(KEY, "localhost:1")
    assert one._shared.pacer is other._shared.pacer
    assert one._shared.pacer is not Planasonix(KEY, "localhost:2")._shared.pacer


def test_version():
    import planasonix

    assert planasonix.__version__ == package_version()


@pytest.mark.parametrize(
    "template",
    ["nonsense", "app.example.com/{id}", "https://a.example/{idd}", "https://a.example/{id", "https://a/}{id}"],
)
def test_a_template_whose_links_lead_nowhere_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Planasonix("plnx_live_0123456789", job_url_template=template)
    assert caught.value.field == "job_url_template"
    assert "{kind}s/{id}" in str(caught.value)


def test_every_name_that_a_template_may_have_is_filled_in() -> None:
    handle = RunHandle("job", "run-1", "target-1", owned=True, created_at=0.0, deadline_at=1.0, intent="i")
    names = [name for name in NAMES if name != "pipeline_id"]  # a job has none: such a template has no link for it
    link = handle.link("https://a.example/" + "/".join(f"{{{name}}}" for name in names))
    assert link is not None
    assert "{" not in link
    assert handle.link("https://a.example/{id}/{pipeline_id}") is None
