"""Proxies that the environment names, and what an HTTP client would do besides."""

from __future__ import annotations

import pytest

from planasonix.client.environment_proxy import proxy_of_environment

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "base_url", "expected"),
    [
        ({}, "https://api.planasonix.com", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.planasonix.com", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://api.planasonix.com", None),
        ({"https_proxy": "p:1"}, "https://api.planasonix.com", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://api.planasonix.com", "socks5://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://q:1"}, "http://api.planasonix.com/x", "http://q:1"),
        ({"HTTPS_PROXY": ""}, "https://api.planasonix.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.planasonix.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.b, planasonix.com"}, "https://api.planasonix.com", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.planasonix.com:8443"}, "https://api.planasonix.com:8443", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "asonix.com"}, "https://api.planasonix.com", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1"}, "http://127.0.0.1:8765", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "::1"}, "http://[::1]:8765", None),
    ],
)
def test_which_proxy(monkeypatch, environment, base_url, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of_environment(base_url) == expected


def test_requests_go_through_it(monkeypatch, make_client, answers):
    monkeypatch.setenv("HTTP_PROXY", answers.url)
    assert make_client("k", "http://api.invalid").jobs.get("x").id == "x"
    assert answers.requests[0][1] == "http://api.invalid/api/v1/jobs/x"


def test_an_argument_comes_before_the_environment(monkeypatch, make_client, answers):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert make_client("k", "http://api.invalid", proxy=answers.url).jobs.get("x").id == "x"


def test_cookies_are_not_sent_back(make_client, answers):
    answers.answer = lambda handler: answers.send(handler, 200, b'{"data": {"id": "x"}}', Set_Cookie="session=1")
    client = make_client("k", answers.url)
    client.jobs.get("x")
    client.jobs.get("x")
    assert "cookie" not in answers.requests[1][2]


def test_compressed_answers_are_understood(make_client, answers):
    import gzip

    body = gzip.compress(b'{"data": {"id": "x"}}')
    answers.answer = lambda handler: answers.send(handler, 200, body, content_encoding="gzip")
    assert make_client("k", answers.url).jobs.get("x").id == "x"
    assert "gzip" in answers.requests[0][2]["accept-encoding"]
