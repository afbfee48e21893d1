"""What a sandbox posts over HTTP, hostile and broken, to a receiver in its own process: each wait ends once, truly."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from planasonix import AsyncPlanasonix
from planasonix.sandbox import Sandbox
from planasonix.watch import Interval, watch_shared
from planasonix.webhooks import Inbox, InboxListener
from tests.core.webhooks.serving import SECRET, serving, until

KEY = "plnx_test_hostile"
# Waits of one key share their looks: those that poll must not end those that only an event may end.
POLLING_KEY = "plnx_test_hostile_polling"
NEVER = Interval(fixed_seconds=600.0)
SOON = Interval(fixed_seconds=0.5)
QUIET: dict[str, Any] = {
    "delivery_duplicates": 0,
    "delivery_reorder": False,
    "delivery_delay_seconds": 0.0,
    "delivery_replays": 0,
    "delivery_flaw": "none",
    "delivery_flaw_place": "instead",
    "deliveries_enabled": True,
}
ANSWERS: dict[str, set[int | None]] = {
    "none": {200},
    "unsigned": {401},
    "forged": {401},
    "altered": {401},
    "stale": {401},
    "oversized": {413, None},  # a sender that is still sending may find the connection closed before it reads
    "bad_json": {200},
    "wrong_types": {200},
    "lying_status": {200},
    "unknown_type": {200},
    "unknown_object": {200},
}
TELLS_OF_THE_RUN = ("none", "lying_status", "unknown_type")


@dataclass
class Cell:
    """How one run's end is told, and whether any event of it can come."""

    name: str
    switches: dict[str, Any]
    is_told: bool
    job: Any = field(default=None)
    outcome: str = "succeeded"


def cells() -> list[Cell]:
    made = [
        Cell("as it should be", {}, True),
        Cell("five times", {"delivery_duplicates": 4}, True),
        Cell("reordered, the first", {"delivery_reorder": True}, True),
        Cell("reordered, the second", {"delivery_reorder": True}, True),
        Cell("delayed", {"delivery_delay_seconds": 20.0}, True),
        Cell("replayed", {"delivery_replays": 3}, True),
        Cell("all at once", {"delivery_duplicates": 4, "delivery_delay_seconds": 5.0, "delivery_replays": 2}, True),
        Cell("lost", {"deliveries_enabled": False}, False),
    ]
    for flaw in (flaw for flaw in ANSWERS if flaw != "none"):
        for place in ("beside", "instead"):
            told = place == "beside" or flaw in TELLS_OF_THE_RUN
            made.append(Cell(f"{flaw} {place}", {"delivery_flaw": flaw, "delivery_flaw_place": place}, told))
    for number, cell in enumerate(made):
        cell.outcome = ("succeeded", "failed")[number % 2]
    return made


def rows(sandbox: Sandbox) -> list[dict[str, Any]]:
    return sandbox.state(limit=1_000)["deliveries"]


@pytest.mark.parametrize("scheme", ["body", pytest.param("timestamped", marks=pytest.mark.scenario)])
def test_each_wait_ends_once_with_the_truth(scheme: str, sqlite_url: str) -> None:
    sandbox = Sandbox(
        api_keys=(KEY, POLLING_KEY),
        signature_scheme=scheme,
        busy="parallel",
        speed=20,
        delivery_max_attempts=3,
    )
    sandbox.script("*", "stuck")
    with (
        sandbox.serve() as api,
        serving("--inbox", sqlite_url, scheme=scheme, PLANASONIX_WEBHOOK_SECRETS=SECRET) as url,
        Inbox.open(sqlite_url) as inbox,
    ):
        matrix = cells()
        asyncio.run(_end_each(matrix, sandbox, api.url, url, sqlite_url))

        answers: dict[str, set[int | None]] = {}
        for row in rows(sandbox):
            answers.setdefault(row["flaw"], set()).update(each["http_status"] for each in row["attempts"])
        assert set(answers) == set(ANSWERS)
        assert all(answers[flaw] <= ANSWERS[flaw] for flaw in ANSWERS), answers

        stored = inbox.read(0)
        assert set(Counter(each.event.event_id for each in stored).values()) == {1}
        ends = Counter((each.event.object_id, each.event.status) for each in stored if each.event.object_id is not None)
        assert set(ends.values()) == {1}
        for cell in matrix:
            genuine = cell.is_told and cell.switches.get("delivery_flaw_place") != "instead"
            assert ends[cell.job.id, cell.outcome] == genuine, cell.name
        assert len(inbox.dead_letters()) == 2, "the bodies that are no JSON"


async def _end_each(matrix: list[Cell], sandbox: Sandbox, api: str, receiver: str, inbox_url: str) -> None:
    client: Any = AsyncPlanasonix(KEY, base_url=api)
    polling: Any = AsyncPlanasonix(POLLING_KEY, base_url=api)
    async with client, polling, httpx.AsyncClient(base_url=api, timeout=60) as control:
        await client.webhooks.create(receiver, ["job.succeeded", "job.failed"], SECRET)
        with InboxListener.for_url(inbox_url).wake_waiters():
            waits: list[asyncio.Future[Any]] = []
            for cell in matrix:
                cell.job = await client.connections.sync("conn_shop_orders")
                asking, interval = (client, NEVER) if cell.is_told else (polling, SOON)
                wait = watch_shared(asking, "job", cell.job.id, created_at=cell.job.created_at, interval=interval)
                waits.append(asyncio.ensure_future(asyncio.wait_for(wait, 60)))
            await asyncio.sleep(0.5)
            assert not any(wait.done() for wait in waits)
            for cell in matrix:
                switched = await control.patch("/sandbox/switches", json=QUIET | cell.switches)
                assert switched.status_code == 200, switched.text
                ended = await control.post(f"/sandbox/jobs/{cell.job.id}/finish", json={"outcome": cell.outcome})
                assert ended.status_code == 200, ended.text
            seen = await asyncio.gather(*waits, return_exceptions=True)
            told = {
                cell.name: (end.id, str(end.status)) if not isinstance(end, BaseException) else repr(end)
                for cell, end in zip(matrix, seen, strict=True)
            }
            assert told == {cell.name: (cell.job.id, cell.outcome) for cell in matrix}
            # What still comes of a run that nobody waits for any more costs the API nothing.
            looks = sandbox.calls("jobs.get")
            await asyncio.to_thread(until, lambda: all(row["status"] != "pending" for row in rows(sandbox)))
            await asyncio.sleep(0.3)
            assert sandbox.calls("jobs.get") == looks
