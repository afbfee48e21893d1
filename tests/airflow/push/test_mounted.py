"""The receiver as a plugin: mounted where an inbox is set, and a wrong setting is an answer and not a crash."""

from __future__ import annotations

import logging
import time
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from airflow_provider_planasonix.push.plugin import PlanasonixPlugin
from planasonix.webhooks import Inbox, sign

SECRET, PASSWORD = "whsec_canary_0123456789", "pass-canary-91"
WEAK = "weak-canary-7"
BODY = b'{"id":"evt_1","type":"job.succeeded","job_id":"job_1"}'


def option(monkeypatch: pytest.MonkeyPatch, **options: str) -> None:
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__PLANASONIX__{name.upper()}", value)


def api_server() -> TestClient:
    """As Airflow mounts the applications of plugins."""
    app = FastAPI()
    for one in PlanasonixPlugin().fastapi_apps:
        app.mount(one["url_prefix"], one["app"])
    return TestClient(app)


def deliver(client: TestClient, secret: str = SECRET) -> int:
    headers = sign(BODY, secret, timestamp=int(time.time()))
    return client.post("/planasonix/webhooks", content=BODY, headers=dict(headers)).status_code


def test_nothing_is_mounted_without_an_inbox() -> None:
    assert PlanasonixPlugin().fastapi_apps == []


def test_a_delivery_is_in_the_inbox_once_it_is_acknowledged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    option(monkeypatch, inbox_url=url, webhook_secrets=f"{SECRET}, whsec_of_yesterday_0123")
    with api_server() as client:
        assert [
            deliver(client),
            deliver(client, "whsec_of_yesterday_0123"),
            deliver(client, "whsec_of_nobody_01234"),
        ] == [
            200,
            200,
            401,
        ]
        assert client.get("/planasonix/healthz").status_code == 200
    with Inbox.open(url) as inbox:
        assert [stored.event.job_id for stored in inbox.read(0)] == ["job_1"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"webhook_secrets": WEAK}, "webhook_secrets"),
        ({"webhook_secrets": ""}, "webhook_secrets"),
        ({"webhook_secrets_file": "/nowhere/secrets"}, "webhook_secrets_file"),
        ({"webhook_scheme": "both"}, "webhook_scheme"),
        ({"inbox_url": f"mysql://me:{PASSWORD}@host/db"}, "inbox"),
    ],
)
def test_a_wrong_setting_is_answered_503_and_named_in_the_log(
    wrong: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: Any
) -> None:
    option(monkeypatch, **{"inbox_url": f"sqlite:///{tmp_path}/inbox.db", "webhook_secrets": SECRET, **wrong})
    with caplog.at_level(logging.ERROR), api_server() as client:
        assert [deliver(client), deliver(client)] == [503, 503]
    [record] = [one for one in caplog.records if "503" in one.getMessage()]
    assert named in record.getMessage()
    assert PASSWORD not in caplog.text
    assert SECRET not in caplog.text
    assert WEAK not in caplog.text


def test_airflow_finds_the_plugin_by_its_entry_point() -> None:
    project = tomllib.loads(Path(__file__).parents[3].joinpath("airflow_provider/pyproject.toml").read_text())
    module, _, name = project["project"]["entry-points"]["airflow.plugins"]["planasonix"].partition(":")
    assert getattr(import_module(module), name) is PlanasonixPlugin
