"""The block of docs/events.md that mounts the receiver under an app of one's own, at a sub-path; FastAPI is here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from planasonix.webhooks import Inbox, sign
from tests.pages import ROOT, blocks

SECRET = "whsec_0123456789abcdef"
BODY = b'{"id":"evt_1","type":"job.succeeded","job_id":"job_1"}'


def test_a_mounted_receiver_stores_and_tells_its_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = f"sqlite:///{tmp_path}/inbox.db"
    monkeypatch.setenv("PLANASONIX_INBOX_URL", inbox)
    monkeypatch.setenv("PLANASONIX_WEBHOOK_SECRETS", SECRET)
    (code,) = [code for code in blocks(ROOT / "docs" / "events.md") if "FastAPI" in code]
    names: dict[str, object] = {"__name__": "page"}
    exec(compile(code, "page", "exec", dont_inherit=True), names)
    with TestClient(names["app"]) as client:  # type: ignore[arg-type]
        path = "/etl/planasonix/webhooks"
        headers = sign(BODY, SECRET, timestamp=int(time.time()))
        assert [client.post(path, content=BODY, headers=headers).status_code for _ in range(2)] == [200, 200]
        assert client.post(path, content=BODY + b" ", headers=headers).status_code == 401
        assert client.get(path).status_code == 405
        assert client.get("/etl/healthz").text == "ok\n"
        assert client.get("/mine").json() == {"is": "mine"}
    with Inbox.open(inbox) as stored:
        assert [row.event.event_id for row in stored.read(0)] == ["evt_1"]
