"""The shared watcher on a real event loop, with a client that needs no network."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from planasonix.errors import (
    AuthenticationError,
    NotFoundError,
    RunFailedError,
    ServerError,
    WaitTimeoutError,
)
from planasonix.watch import Interval, patience, wait_shared, watch_shared, watcher_for

FAST = Interval(fixed_seconds=0.05)


async def wait_all(client: Any, run_ids: list[str], created: Any = None, kind: str = "job") -> list[Any]:
    waits = (watch_shared(client, kind, run_id, created_at=created, interval=FAST) for run_id in run_ids)
    return await asyncio.wait_for(asyncio.gather(*waits), 20)


def test_every_wait_ends_with_its_own_status(client: Any, created: Any) -> None:
    words = ["succeeded", "failed", "cancelled"]
    client.jobs.ends = {f"job_{n}": (0.1 + n * 0.01, words[n % 3]) for n in range(30)}
    runs = asyncio.run(wait_all(client, list(client.jobs.ends), created))
    assert [(run.id, run.status) for run in runs] == [(i, end[1]) for i, end in client.jobs.ends.items()]


def test_many_waits_cost_list_pages_and_one_get_each(client: Any, created: Any) -> None:
    client.jobs.ends = {f"job_{n}": (1.0, "succeeded") for n in range(400)}
    asyncio.run(wait_all(client, list(client.jobs.ends), created))
    # One GET ends each wait; a few more where a job ended between a list and its confirming GET.
    assert 400 <= client.jobs.calls["get"] <= 420
    # About twenty rounds of 0.05 s, each four pages of running jobs and one of queued ones, not 400 GETs.
    assert client.jobs.calls["list"] <= 25 * 6


def test_few_waits_are_read_one_by_one(client: Any, created: Any) -> None:
    client.jobs.ends = {"job_1": (0.2, "succeeded")}
    asyncio.run(wait_all(client, ["job_1"], created))
    assert client.jobs.calls["list"] == 0


def test_among_many_foreign_jobs_each_is_read(client: Any, created: Any) -> None:
    client.jobs.foreign = 20_000
    client.jobs.ends = {f"job_{n}": (0.5, "succeeded") for n in range(50)}
    asyncio.run(wait_all(client, list(client.jobs.ends), created))
    # One sweep is given up at fifty pages; after it, at most fifty GETs a round.
    assert client.jobs.calls["list"] <= 60
    assert client.jobs.calls["get"] <= 50 * 12


def test_absence_from_a_list_ends_nothing(client: Any, created: Any) -> None:
    client.jobs.ends = {f"job_{n}": (0.6, "succeeded") for n in range(20)}
    client.jobs.hidden = set(client.jobs.ends)
    runs = asyncio.run(wait_all(client, list(client.jobs.ends), created))
    assert {run.status for run in runs} == {"succeeded"}
    # Twelve rounds, but a job that stays absent yet alive is asked for ever more rarely.
    assert client.jobs.calls["get"] <= 20 * 7


def test_a_stale_list_delays_and_never_lies(client: Any, created: Any) -> None:
    client.jobs.ends = {f"job_{n}": (0.1, "failed") for n in range(10)}
    client.jobs.stale_list_seconds = 0.3
    runs = asyncio.run(wait_all(client, list(client.jobs.ends), created))
    assert {run.status for run in runs} == {"failed"}


def test_bad_polls_end_no_wait(client: Any, created: Any) -> None:
    client.jobs.ends = {f"job_{n}": (0.3, "succeeded") for n in range(5)}
    client.jobs.errors = [ServerError("down", status_code=503) for _ in range(20)]
    client.jobs.list_errors = [ServerError("down", status_code=503), ValueError("a defect in the reader")]
    runs = asyncio.run(wait_all(client, list(client.jobs.ends), created))
    assert len(runs) == 5


def test_a_missing_run_is_given_up_after_its_grace(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.Patience, "__init__", lambda self: _short(self))
    with pytest.raises(NotFoundError):
        asyncio.run(wait_all(client, ["job_none"]))
    assert client.jobs.calls["get"] > 1


def test_a_refused_key_is_given_up_after_its_grace(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.Patience, "__init__", lambda self: _short(self))
    client.jobs.ends = {"job_1": (9.0, "succeeded")}
    client.jobs.errors = [AuthenticationError("no", status_code=401) for _ in range(100)]
    with pytest.raises(AuthenticationError):
        asyncio.run(wait_all(client, ["job_1"]))


_make_patience = patience.Patience.__init__


def _short(self: Any) -> None:
    _make_patience(self, missing_grace_seconds=0.2, auth_grace_seconds=0.2)


def test_backfills_have_their_own_lists(client: Any, created: Any) -> None:
    client.backfills.ends = {f"bf_{n}": (0.3, "succeeded") for n in range(8)}
    asyncio.run(wait_all(client, list(client.backfills.ends), created, kind="backfill"))
    assert client.backfills.calls["list"] > 0
    assert client.jobs.calls.total() == 0


def test_two_waiters_of_one_run_share_its_looks(client: Any) -> None:
    client.jobs.ends = {"job_1": (0.3, "succeeded")}
    asyncio.run(wait_all(client, ["job_1"] * 50))
    assert client.jobs.calls["get"] <= 10


def test_waiters_of_one_credential_share_a_watcher_and_others_do_not(make_client: Any) -> None:
    async def look() -> None:
        assert watcher_for(make_client("a")) is watcher_for(make_client("a"))
        assert watcher_for(make_client("a")) is not watcher_for(make_client("b"))

    asyncio.run(look())


def test_nothing_is_left_when_the_last_waiter_has_gone(client: Any) -> None:
    async def leave() -> None:
        client.jobs.ends = {"job_1": (60.0, "succeeded"), "job_2": (0.1, "succeeded")}
        tasks = [asyncio.create_task(watch_shared(client, "job", i, interval=FAST)) for i in ("job_1", "job_2")]
        await tasks[1]
        assert watcher_for(client).waiting == 1
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert watcher_for(client).waiting == 0
        assert client.closed == 1
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(leave())


def test_a_cancelled_waiter_takes_no_other_along(client: Any) -> None:
    async def leave() -> str:
        client.jobs.ends = {"job_1": (0.4, "succeeded")}
        first, second = (asyncio.create_task(watch_shared(client, "job", "job_1", interval=FAST)) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        return (await second).status

    assert asyncio.run(leave()) == "succeeded"


def test_a_nudge_wakes_the_wait_at_once(client: Any) -> None:
    async def hear() -> float:
        loop = asyncio.get_running_loop()
        client.jobs.ends = {"job_1": (0.1, "succeeded")}
        slow = Interval(fixed_seconds=30.0)
        task = asyncio.create_task(watch_shared(client, "job", "job_1", interval=slow))
        await asyncio.sleep(0.3)
        began = loop.time()
        watcher_for(client).nudge("job", "job_1")
        await asyncio.wait_for(task, 5)
        return loop.time() - began

    assert asyncio.run(hear()) < 1.0


def test_the_deadline_raises_and_names_the_run(client: Any) -> None:
    client.jobs.ends = {"job_1": (60.0, "succeeded")}
    with pytest.raises(WaitTimeoutError) as caught:
        asyncio.run(watch_shared(client, "job", "job_1", timeout_seconds=0.2, interval=FAST))
    assert caught.value.pending == [{"kind": "job", "id": "job_1", "status": "running"}]


def test_a_run_that_ended_by_its_deadline_is_not_late(client: Any) -> None:
    client.jobs.ends = {"job_1": (0.1, "succeeded")}
    run = asyncio.run(watch_shared(client, "job", "job_1", timeout_seconds=0.2, interval=Interval(fixed_seconds=30.0)))
    assert run.status == "succeeded"


def test_wait_shared_raises_for_a_failed_run(client: Any) -> None:
    client.jobs.ends = {"job_1": (0.0, "failed")}
    with pytest.raises(RunFailedError, match="job_1"):
        asyncio.run(wait_shared(client, "job", "job_1"))


def test_changes_of_status_are_told_once(client: Any) -> None:
    client.jobs.ends = {"job_1": (0.3, "succeeded")}
    seen: list[str] = []
    asyncio.run(watch_shared(client, "job", "job_1", interval=FAST, on_change=lambda run: seen.append(run.status)))
    assert seen == ["running", "succeeded"]


def test_a_listener_runs_in_the_context_of_its_own_caller(client: Any) -> None:
    client.jobs.ends = {"job_1": (0.2, "succeeded"), "job_2": (0.2, "succeeded")}
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller")
    heard: set[tuple[str, str]] = set()

    async def wait(run_id: str) -> None:
        caller.set(run_id)
        await watch_shared(
            client, "job", run_id, interval=FAST, on_change=lambda run: heard.add((run.id, caller.get("nobody")))
        )

    async def both() -> None:
        await asyncio.gather(asyncio.create_task(wait("job_1")), asyncio.create_task(wait("job_2")))

    asyncio.run(both())
    assert heard == {("job_1", "job_1"), ("job_2", "job_2")}


def test_an_unchanged_run_is_told_again_to_who_wants_it(client: Any) -> None:
    client.jobs.ends = {"job_1": (0.6, "succeeded")}
    quiet: list[str] = []
    heard: list[str] = []

    async def both() -> None:
        await asyncio.gather(
            watch_shared(client, "job", "job_1", interval=FAST, on_change=lambda run: quiet.append(run.status)),
            watch_shared(
                client,
                "job",
                "job_1",
                interval=FAST,
                on_change=lambda run: heard.append(run.status),
                remind_seconds=0.2,
            ),
        )

    asyncio.run(both())
    assert quiet == ["running", "succeeded"]
    assert 3 <= len(heard) <= 5
    assert set(heard[:-1]) == {"running"}


def test_a_status_word_never_seen_before_goes_on(client: Any) -> None:
    async def change() -> str:
        client.jobs.ends = {"job_1": (0.0, "hidden")}
        task = asyncio.create_task(watch_shared(client, "job", "job_1", interval=FAST))
        await asyncio.sleep(0.2)
        assert not task.done()
        client.jobs.ends["job_1"] = (0.0, "succeeded")
        return (await asyncio.wait_for(task, 5)).status

    assert asyncio.run(change()) == "succeeded"
