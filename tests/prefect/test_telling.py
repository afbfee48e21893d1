"""What an attempt tells Prefect, and that none of it can harm a run: whatever Prefect does, a caller loses a second."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.context import TaskRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings

from planasonix.runs import RunWarning, TableOutcome
from prefect_planasonix.telling import CALL_SECONDS, Telling
from scripts.local.ports import free_port
from tests.prefect.artifact_api import ArtifactApi, artifact_api, in_flow_run
from tests.prefect.telling_parts import LINK, ORDERS, Options, handle, outcome, partial, seen, staged

FAULT_SECONDS = 60.0
"""How long what is slow takes, unless a test says otherwise."""

LATE_SECONDS = 20.0
"""What a loaded machine may add to the second that a call costs. How much a call itself waits is shown by the clock of
a loop (`test_a_call_waits_for_a_second`).
"""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArtifactApi]:
    # Prefect's client tells of each artifact by an event, which is not what is looked at here.
    monkeypatch.setattr("prefect.events.utilities.emit_event", lambda *_, **__: None)
    # On a loaded machine a write may take long, and is to arrive nevertheless.
    monkeypatch.setattr("prefect_planasonix.telling._LATE_SECONDS", 100.0)
    with artifact_api() as running:
        yield running


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was handed to Prefect."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr("prefect.events.emit_event", lambda **values: sent.append(values))
    return sent


def _names(events: list[dict[str, Any]]) -> list[str]:
    return [each["event"] for each in events]


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        each.getMessage()
        for each in caplog.records
        if each.name == "prefect_planasonix" and each.levelno >= logging.WARNING
    ]


async def _whole(telling: Telling, *, percents: tuple[float, ...] = ()) -> None:
    """A run from its start to its end, which is not good."""
    await telling.started(handle(), LINK)
    listen = telling.listener(handle())
    for percent in percents:
        listen(seen(percent))
        await _settled()
    await telling.ended(handle(), partial(), LINK)
    await telling.aclose()
    await _settled()


async def _settled() -> None:
    """Wait until nothing of it is under way any more."""
    from prefect_planasonix.telling import _under_way

    while _under_way:
        await asyncio.wait(set(_under_way))


async def _timed(call: Awaitable[object]) -> float:
    began = time.monotonic()
    await call
    return time.monotonic() - began


def test_a_run_is_seen_from_its_start_to_its_end(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    with in_flow_run() as run:
        asyncio.run(_whole(Telling(Options()), percents=(0, 40, 40, 40, 40, 80)))
    [link], [bar], [table], [report] = (api.of(role) for role in ("link", "progress", "tables", "report"))
    assert LINK in link["data"]
    assert [body["data"] for body in api.writes("progress")] == [0, 0, 40, 80, 80]
    assert bar["description"].endswith("failed after 4 s, 12 rows loaded.")
    assert table["type"] == "table"
    assert "the source went away" in report["data"]
    assert {each["flow_run_id"] for each in api.artifacts.values()} == {str(run.id)}
    assert _names(events)[:3] == ["planasonix.job.started", "planasonix.job.progressed", "planasonix.job.progressed"]
    assert sorted(_names(events)[3:]) == [
        "planasonix.job.failed",
        "prefect.asset.materialization.failed",
        "prefect.asset.materialization.succeeded",
    ]


def test_the_start_is_seen_while_the_run_goes_on(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    async def start() -> None:
        telling = Telling(Options())
        await telling.started(handle(), LINK)
        await telling.aclose()
        await _settled()

    with in_flow_run():
        asyncio.run(start())
    assert (len(api.of("link")), len(api.of("progress")), api.of("tables")) == (1, 1, [])
    assert _names(events) == ["planasonix.job.started"]


def test_there_is_no_link_without_a_page(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    async def start() -> None:
        telling = Telling(Options())
        await telling.started(handle())
        await telling.aclose()
        await _settled()

    with in_flow_run():
        asyncio.run(start())
    assert api.of("link") == []
    assert "link" not in events[0]["payload"]


def test_a_job_of_which_no_percent_is_known_shows_its_rows(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    async def wait() -> None:
        telling = Telling(Options())
        await telling.started(handle("job"), LINK)
        await _settled()
        listen = telling.listener(handle("job"))
        for rows in (10, 10, 20):
            listen(seen(None, run_id="job_1", rows_processed=rows))
            await _settled()
        listen(seen(None, run_id="job_of_somebody_else"))
        await telling.aclose()
        await _settled()

    with in_flow_run():
        asyncio.run(wait())
    assert [body["description"].rpartition(": ")[2] for body in api.writes("progress")] == [
        "started.",
        "running, 10 rows loaded.",
        "running, 20 rows loaded.",
    ]
    assert _names(events) == ["planasonix.job.started"]


def test_only_the_newest_state_is_written_where_the_server_is_slow(
    api: ArtifactApi, events: list[dict[str, Any]]
) -> None:
    async def wait() -> None:
        telling = Telling(Options())
        await telling.started(handle(), None)
        await _settled()
        api.delay_seconds = 0.3
        for percent in range(1, 90):
            await telling.progressed(handle(), seen(percent))
            await asyncio.sleep(0.002)
        await _settled()
        await telling.aclose()

    with in_flow_run():
        asyncio.run(wait())
    written = [body["data"] for body in api.writes("progress")]
    assert written[-1] == 89
    assert len(written) < 10


def test_a_process_that_takes_over_goes_on_with_the_same_artifacts(
    api: ArtifactApi, events: list[dict[str, Any]]
) -> None:
    async def twice() -> None:
        await _whole(Telling(Options()), percents=(60,))
        again = Telling(Options())
        await again.started(handle(reattached=True), LINK)
        again.listener(handle(reattached=True))(seen(70))
        await again.ended(handle(reattached=True), outcome(ORDERS), LINK)
        await again.aclose()
        await _settled()

    with in_flow_run():
        asyncio.run(twice())
    assert [len(api.of(role)) for role in ("link", "progress", "tables", "report")] == [1, 1, 1, 1]
    assert api.of("progress")[0]["data"] == 100
    assert len(api.writes("link")) == 1
    started = [each["id"] for each in events if each["event"] == "planasonix.job.started"]
    assert len(started) == 2
    assert len(set(started)) == 1


def test_stages_are_told_with_their_ends(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    ends = {"s0": outcome(ORDERS, id="backfill_0"), "s1": outcome(id="", status="failed")}

    async def end() -> None:
        telling = Telling(Options())
        await telling.stages_ended(staged("done", "failed"), ends)
        await telling.stages_ended(staged("done", "failed"), ends)
        await telling.aclose()
        await _settled()

    with in_flow_run():
        asyncio.run(end())
    assert [len(api.writes(role)) for role in ("progress", "tables", "report")] == [1, 1, 1]
    assert api.of("progress")[0]["data"] == 50
    assert sorted(set(_names(events))) == ["planasonix.job.succeeded", "prefect.asset.materialization.succeeded"]
    assert len({each["id"] for each in events}) == 2


def test_outside_any_run_nothing_is_told(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    asyncio.run(_whole(Telling(Options()), percents=(10,)))
    asyncio.run(Telling(Options()).stages_ended(staged("done")))
    assert (api.calls, events) == ([], [])


def test_a_task_without_a_flow_has_a_page_too(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    from uuid import uuid4

    task_run = SimpleNamespace(id=uuid4(), flow_run_id=None)
    with TaskRunContext.model_construct(task_run=task_run):
        asyncio.run(_whole(Telling(Options())))
    assert {each["task_run_id"] for each in api.artifacts.values()} == {str(task_run.id)}
    assert len(api.of("tables")) == 1


@pytest.mark.parametrize(
    ("options", "artifacts", "told"),
    [
        (Options(artifacts=False), 0, {"planasonix.job", "prefect.asset.materialization"}),
        (Options(events=False), 4, {"prefect.asset.materialization"}),
        (Options(assets=False), 4, {"planasonix.job"}),
        (Options(artifacts=False, events=False, assets=False), 0, set()),
    ],
)
def test_each_of_them_can_be_left_out(
    api: ArtifactApi, events: list[dict[str, Any]], options: Options, artifacts: int, told: set[str]
) -> None:
    with in_flow_run():
        asyncio.run(_whole(Telling(options)))
    assert len(api.artifacts) == artifacts
    assert {name.rpartition(".")[0] for name in _names(events)} == told


def test_what_a_watcher_calls_in_another_runs_context_is_told_to_the_right_run(
    api: ArtifactApi, events: list[dict[str, Any]]
) -> None:
    async def wait() -> None:
        with in_flow_run() as first:
            ours = Telling(Options())
            await ours.started(handle(), LINK)
        with in_flow_run():
            ours.listener(handle())(seen(50))
            await ours.ended(handle(), partial(), LINK)
            await ours.aclose()
            await _settled()
        assert {each["flow_run_id"] for each in api.artifacts.values()} == {str(first.id)}

    asyncio.run(wait())
    assert api.of("progress")[0]["data"] == 50


def test_a_listener_outside_any_loop_harms_nobody(
    api: ArtifactApi, events: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with in_flow_run():
        listen = Telling(Options()).listener(handle())
    listen(seen(10))
    listen(seen(20))
    assert len(_warnings(caplog)) == 1
    assert api.calls == []


# --- whatever breaks -------------------------------------------------------------------------------------------------


def _away(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "url", f"http://127.0.0.1:{free_port()}/api")


def _refusing(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.status = 422


def _broken(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.status = 500


def _overloaded(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.status = 503


def _slow(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.delay_seconds = FAULT_SECONDS


def _no_events(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("no events today")

    monkeypatch.setattr("prefect.events.emit_event", refuse)


_RELEASED = threading.Event()


def _slow_events(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    _RELEASED.clear()
    monkeypatch.setattr("prefect.events.emit_event", lambda **_: _RELEASED.wait(FAULT_SECONDS))


def _no_assets(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TypeError("no assets today")

    monkeypatch.setattr("prefect.assets.add_asset_metadata", refuse)


def _no_client(api: ArtifactApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ValueError("no client today")

    monkeypatch.setattr("prefect.client.orchestration.get_client", refuse)


@pytest.mark.parametrize(
    "fault",
    [_away, _refusing, _broken, _overloaded, _slow, _no_events, _slow_events, _no_assets, _no_client],
    ids=lambda fault: fault.__name__.strip("_"),
)
def test_whatever_fails_a_call_costs_a_second_at_most_and_a_flow_run_one_warning(
    api: ArtifactApi,
    events: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[ArtifactApi, pytest.MonkeyPatch], None],
) -> None:
    fault(api, monkeypatch)
    stalls: list[float] = []

    async def watch_the_loop() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            stalls.append(time.monotonic() - began)

    async def one() -> list[float]:
        telling = Telling(Options())
        costs = [await _timed(telling.started(handle(), LINK))]
        telling.listener(handle())(seen(10))
        costs.append(await _timed(telling.ended(handle(), partial(), LINK)))
        costs.append(await _timed(telling.aclose()))
        return costs

    async def five() -> list[list[float]]:
        ticking = asyncio.create_task(watch_the_loop())
        costs = await asyncio.gather(*(one() for _ in range(5)))
        ticking.cancel()
        _RELEASED.set()
        return costs

    with temporary_settings({PREFECT_API_URL: api.url}), in_flow_run():
        costs = asyncio.run(five())
    for started, ended, closed in costs:
        assert started < LATE_SECONDS
        assert ended < CALL_SECONDS + LATE_SECONDS
        assert closed < CALL_SECONDS + LATE_SECONDS
    assert max(stalls) < LATE_SECONDS
    [warning] = _warnings(caplog)
    assert "changes nothing for the run itself" in warning


def test_a_call_waits_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("prefect_planasonix.artifact_shelf.ArtifactShelf.put", never)
    monkeypatch.setattr("prefect_planasonix.telling._LATE_SECONDS", 10.0)

    async def costs() -> list[float]:
        clock = asyncio.get_running_loop().time
        telling = Telling(Options(events=False, assets=False))
        moments = [clock()]
        await telling.started(handle(), LINK)
        moments.append(clock())
        await telling.ended(handle(), partial(), LINK)
        moments.append(clock())
        await telling.aclose()
        moments.append(clock())
        await _settled()
        moments.append(clock())
        return [later - before for before, later in itertools.pairwise(moments)]

    with in_flow_run(), asyncio.Runner(loop_factory=_Loop) as runner:
        assert runner.run(costs()) == pytest.approx([0, CALL_SECONDS, CALL_SECONDS, 8.0], abs=0.1)


class _Loop(asyncio.SelectorEventLoop):
    """Its clock shows no time but that for which it was asked to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0.0
        waiting = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None = None) -> Any:
            self._skipped += timeout or 0.0
            return waiting(0)

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._skipped


def test_one_thing_that_fails_keeps_nothing_else_away(
    api: ArtifactApi, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise TypeError("no bar today")

    monkeypatch.setattr("prefect_planasonix.artifacts.ended_progress", refuse)
    _no_assets(api, monkeypatch)
    with in_flow_run():
        asyncio.run(_whole(Telling(Options())))
    assert (len(api.of("tables")), len(api.of("report"))) == (1, 1)
    assert _names(events) == ["planasonix.job.started", "planasonix.job.failed"]
    assert len(_warnings(caplog)) == 1


def test_what_comes_late_comes_all_the_same(
    api: ArtifactApi, events: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    async def end() -> None:
        telling = Telling(Options())
        await telling.ended(handle(), partial(), LINK)
        assert api.of("tables") == []
        await telling.aclose()
        await _settled()

    api.delay_seconds = 2.0
    with in_flow_run():
        asyncio.run(end())
    assert (len(api.of("tables")), len(api.of("report"))) == (1, 1)
    assert len(_warnings(caplog)) == 1


def test_each_flow_run_has_its_own_warning(
    api: ArtifactApi, events: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    api.status = 422
    for _ in range(2):
        with in_flow_run():
            asyncio.run(_whole(Telling(Options())))
    assert len(_warnings(caplog)) == 2


def test_a_cancelled_caller_is_cancelled(api: ArtifactApi, events: list[dict[str, Any]]) -> None:
    async def cancelled() -> None:
        telling = Telling(Options())
        ending = asyncio.create_task(telling.ended(handle(), partial(), LINK))
        await asyncio.sleep(0.05)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        api.delay_seconds = 0
        await telling.aclose()
        await _settled()

    api.delay_seconds = 0.5
    with in_flow_run():
        asyncio.run(cancelled())
    assert len(api.of("tables")) == 1


def test_nothing_of_it_holds_a_key(
    api: ArtifactApi, events: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    key = "plnx_live_" + "c4n4ry" * 5
    leaky = outcome(
        TableOutcome(f"public.{key}", "failed"),
        status="failed",
        error_code=key,
        error_message=f"Authorization: Bearer {key}",
        warnings=(RunWarning(None, f"https://user:{key}@host"),),
        link=f"https://host/?api_key={key}",
    )

    async def tell() -> None:
        telling = Telling(Options())
        await telling.started(handle(), leaky.link)
        telling.listener(handle())(seen(10, status=f"running {key}"))
        await telling.ended(handle(), leaky, leaky.link)
        await _settled()
        api.status = 422
        await telling.ended(handle(), outcome(ORDERS, error_message=key), leaky.link)
        await telling.aclose()
        await _settled()

    with caplog.at_level(logging.DEBUG, "prefect_planasonix"), in_flow_run():
        asyncio.run(tell())
    assert len(api.artifacts) == 4
    assert events
    assert caplog.records
    assert key not in repr((api.calls, events, caplog.text))


def test_it_is_made_in_the_context_of_its_run() -> None:
    with in_flow_run():
        context = contextvars.copy_context()
    assert context.run(lambda: Telling(Options())._page) is not None
    assert Telling(Options())._page is None
