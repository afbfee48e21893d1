"""The page on events: its settings are Airflow's, its Python makes what it says."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from airflow_provider_planasonix.push import options, receiver
from airflow_provider_planasonix.push.event_filter import MARK, EventFilter
from airflow_provider_planasonix.triggers.event import PlanasonixEventTrigger
from planasonix import Planasonix
from planasonix.sandbox import Sandbox
from planasonix.webhooks import Arrival, Event, Inbox
from tests.pages import ROOT, blocks

PAGE = ROOT / "docs" / "airflow" / "events.md"


def test_its_settings_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [text] = blocks(PAGE, "ini")
    parser = configparser.ConfigParser()
    parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    [section] = parser.sections()
    told = dict(parser[section])
    assert section == options.SECTION
    assert set(told) <= set(options.config_section()[section]["options"])
    secrets_file = tmp_path / "secrets"
    secrets_file.write_text("whsec_canary_of_the_page_1\n")
    for name, value in told.items():
        monkeypatch.setenv(f"AIRFLOW__PLANASONIX__{name.upper()}", value)
    monkeypatch.setenv("AIRFLOW__PLANASONIX__WEBHOOK_SECRETS_FILE", str(secrets_file))
    assert options.inbox_url() == told["inbox_url"]
    receiver.signing_secrets()


def test_its_table_has_all_options_and_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE.read_text(), flags=re.MULTILINE))
    wanted = options.config_section()[options.SECTION]["options"]
    assert set(rows) == set(wanted)
    for name, option in wanted.items():
        if option["default"]:
            assert rows[name].strip().strip("`") == option["default"].removesuffix(".0"), name


def test_its_payload_is_what_a_watcher_hands_on(tmp_path: Path) -> None:
    text = PAGE.read_text().partition("The payload: ")[2].partition("The whole DAG")[0]
    body = b'{"id":"evt_1","type":"job.succeeded","job_id":"job_1"}'
    with Inbox.open(f"sqlite:///{tmp_path}/inbox.db") as inbox:
        inbox.add([Arrival.of(Event.parse(body))])
        payload = EventFilter.payload(inbox.read(0)[0])
    named = {name for name in re.findall(r"`(\w+)`", text) if name not in ("webhook", "sweep")}
    assert named <= set(payload)
    assert set(payload) - named == {MARK, "received_at", "seq"}


def test_its_task_subscribes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = [code for code in blocks(PAGE) if "ensure_webhook" in code]
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    transport, secret = Sandbox().transport(), "whsec_canary_of_the_page_2"
    monkeypatch.setattr(PlanasonixHook, "get_client", lambda _: Planasonix("plnx_live_sandbox", transport=transport))
    monkeypatch.setattr(names["Variable"], "get", lambda _: secret)
    subscribe = names["subscribe"].function
    assert subscribe() == subscribe()
    [webhook] = PlanasonixHook().get_client().webhooks.list()
    assert webhook.id == subscribe()


def test_its_dag_watches_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = [code for code in blocks(PAGE) if "AssetWatcher" in code]
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    loaded = names["loaded"]
    [watcher] = loaded.watchers
    trigger = PlanasonixEventTrigger("conn_shop_orders", statuses="succeeded")
    assert watcher.trigger.serialize() == trigger.serialize()
    event = SimpleNamespace(extra={"payload": {"job_id": "job_1", "status": "succeeded"}})
    names["report"].function(triggering_asset_events={loaded: [event]})
    assert capsys.readouterr().out == "job_1 succeeded\n"
