"""What a triggerer's process does once for all waits, and does not do in an author's own."""

from __future__ import annotations

import asyncio
import gc
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_planasonix.triggers import patience
from airflow_provider_planasonix.triggers.lines import LogLines


@pytest.fixture
def freezes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(patience, "_prepared", False)
    monkeypatch.setattr(gc, "freeze", lambda: done.append("frozen"))
    return done


def test_triggers_that_start_together_prepare_their_process_once(freezes: list[str]) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: patience.prepare_process(), range(200)))
    assert freezes == ["frozen"]


def test_an_authors_own_process_keeps_its_garbage_collector(
    freezes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "runs_in_dag_test", lambda: True)
    patience.prepare_process()
    assert patience._prepared
    assert freezes == []


def test_a_prepared_process_needs_no_thread_for_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "planasonix", "host": "http://127.0.0.1:9", "password": "key"}
    monkeypatch.setenv("AIRFLOW_CONN_PLANASONIX_DEFAULT", json.dumps(connection))

    async def occupied(*_: Any) -> None:
        await asyncio.sleep(99)

    async def main() -> None:
        await (await patience.client_with_patience("planasonix_default", LogLines(None))).aclose()
        monkeypatch.setattr(asyncio, "to_thread", occupied)
        client = await asyncio.wait_for(patience.client_with_patience("planasonix_default", LogLines(None)), 10)
        await client.aclose()

    asyncio.run(main())
