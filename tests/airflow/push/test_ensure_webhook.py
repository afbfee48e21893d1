"""One subscription however often a task asks for it, and no secret in what the task returns or logs."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_planasonix.hooks.planasonix import PlanasonixHook
from planasonix import Planasonix
from planasonix.sandbox import Sandbox

SECRET, URL = "whsec_canary_bootstrap_5", "http://127.0.0.1:8080/planasonix/webhooks"


def test_it_is_made_once_and_only_its_id_is_returned(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    transport = Sandbox().transport()

    def client(self: PlanasonixHook) -> Planasonix:
        return Planasonix("plnx_live_sandbox", transport=transport)

    monkeypatch.setattr(PlanasonixHook, "get_client", client)
    hook = PlanasonixHook()
    first = hook.ensure_webhook(URL, secret=SECRET)
    assert hook.ensure_webhook(URL, ["job.failed"], secret=SECRET) == first
    [webhook] = client(hook).webhooks.list()
    assert (webhook.id, webhook.events) == (first, ["job.failed"])
    assert SECRET not in caplog.text
    assert SECRET not in repr(hook)
