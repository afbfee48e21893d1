"""Tells Prefect of a run of Planasonix: artifacts on the run's page, events, assets.

All of it is a convenience, and none of it may harm a good run. So nothing here raises, nothing blocks the event loop,
and no caller ever loses more than a second:

=====================  ==============================================================================================
call                   costs its caller
=====================  ==============================================================================================
`started`              nothing: it is written while the run goes on
`listener`, progress   nothing: only the newest state is written, and one write at a time is under way
`ended`                what its writes take, at most a second. What has not been written by then goes on behind
`aclose`               what is still under way, at most a second
=====================  ==============================================================================================

Of all that goes wrong in one flow run, one warning is logged; the rest can be read at level debug. Outside any run
there is no page to show anything on, and nothing is told.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from prefect_planasonix.one_warning import Log, warn_once
from prefect_planasonix.page import run_of_context

if TYPE_CHECKING:
    from planasonix.runs import Outcome, RunHandle, StagedOutcome
    from planasonix.watch import WatchedRun
    from prefect_planasonix.artifact_shelf import ArtifactShelf
    from prefect_planasonix.artifacts import ArtifactToShow
    from prefect_planasonix.events import EventToTell

PROGRESS_SECONDS = 10.0
"""How often a wait should be reminded of an unchanged status, so that its progress is seen: `remind_seconds`."""

CALL_SECONDS = 1.0
"""The most that a call costs its caller."""

_LATE_SECONDS = 10.0
"""How long a write may go on behind."""

_under_way: set[asyncio.Task[None]] = set()
"""A loop keeps no hold of its tasks, and those that nobody waits for could vanish."""


class TellingOptions(Protocol):
    """What of a run's options decides what is told."""

    @property
    def artifacts(self) -> bool: ...
    @property
    def events(self) -> bool: ...
    @property
    def assets(self) -> bool: ...
    @property
    def asset_key_template(self) -> str: ...
    @property
    def source_key_template(self) -> str | None: ...


class Telling:
    """What one attempt tells of its run. Make it in the context of the flow or task that it is told to.

    `options` says what is told at all; `logger` hears of what goes wrong.

    ```python
    telling = Telling(options, logger)
    try:
        await telling.started(handle, link)
        run = await await_run(client, handle, on_change=telling.listener(handle), remind_seconds=PROGRESS_SECONDS)
        outcome = await aoutcome_of(client, handle, ended=run)
        await telling.ended(handle, outcome, outcome.link)
    finally:
        await telling.aclose()
    ```
    """

    def __init__(self, options: TellingOptions, logger: Log | None = None) -> None:
        self._options = options
        self._logger = logger or logging.getLogger("prefect_planasonix")
        # A watcher calls its listeners in the context of whoever began to watch: that may be another run's.
        self._context = contextvars.copy_context()
        self._flow_run_id, self._page = run_of_context()
        self._shelves: dict[str, ArtifactShelf] = {}
        self._last: asyncio.Task[None] | None = None
        self._newest: WatchedRun | None = None
        self._shown: object = None
        self._percent = 0.0
        self._is_new = False
        self.depth = 0
        """How many runs of the chain events have started, the one that is told of included."""

    async def started(self, handle: RunHandle, link: str | None = None) -> None:
        """The run is there: the way to its page (where `link` names one), an empty bar, an event. Returns at once."""
        if self._page is None:
            return
        self._is_new = not handle.reattached
        self._soon(lambda: self._tell_start(handle, link))

    async def progressed(self, handle: RunHandle, run: WatchedRun) -> None:
        """What a wait saw of the run; written where it is new. Returns at once."""
        self._heard(handle, run)

    def listener(self, handle: RunHandle) -> Callable[[WatchedRun], None]:
        """For `on_change` of a wait in this event loop, with `remind_seconds=PROGRESS_SECONDS`."""
        return lambda run: self._heard(handle, run)

    async def ended(self, handle: RunHandle, outcome: Outcome, link: str | None = None) -> None:
        """The run has ended, in any way: bar, table, report, an event, its tables as assets. At most a second."""
        if self._page is None:
            return
        self._soon(lambda: self._tell_end(handle, outcome))
        await self._wait()

    async def stages_ended(self, outcome: StagedOutcome, ends: Mapping[str, Outcome] | None = None) -> None:
        """A backfill in stages has come to an end, or to a state in which it is left: bar, stages, report, the tables
        as assets, an event for each stage in `ends` (see `planasonix.runs.stage_ends`). At most a second.
        """
        if self._page is None:
            return
        self._soon(lambda: self._tell_stages(outcome, ends or {}))
        await self._wait()

    async def aclose(self) -> None:
        """Wait for what is under way, at most a second. To be called once nothing more is told."""
        if self._shelves:
            shelves = list(self._shelves.values())
            self._shelves = {}
            self._soon(lambda: _close(shelves))
        await self._wait()

    def _heard(self, handle: RunHandle, run: WatchedRun) -> None:
        if self._page is None or run.id != handle.id:
            return
        is_waiting = self._newest is not None
        self._newest = run
        if not is_waiting:
            self._soon(lambda: self._tell_progress(handle))

    async def _tell_start(self, handle: RunHandle, link: str | None) -> None:
        from prefect_planasonix.artifacts import link_artifact, progress_artifact
        from prefect_planasonix.events import started_event

        steps = [self._emit(lambda: [started_event(handle, link=link, flow_run_id=self._flow_run_id)])]
        if link:
            steps.append(self._put(handle, lambda: [link_artifact(handle, link)]))
        # The bar of a run that was found may stand further than at its start: the first look at it tells.
        if not handle.reattached:
            steps.append(self._put(handle, lambda: [progress_artifact(handle, None)]))
        await asyncio.gather(*steps)

    async def _tell_progress(self, handle: RunHandle) -> None:
        from planasonix.runs.story import percent_of, progress_of
        from planasonix.watch.protocols import ENDED_PHASES
        from prefect_planasonix.artifacts import progress_artifact
        from prefect_planasonix.events import progressed_event

        run, self._newest = self._newest, None
        if run is None or run.phase in ENDED_PHASES:
            # How it ended is told with its outcome.
            return
        percent = percent_of(run)
        shown = (run.status, percent) if percent is not None else (run.status, *progress_of(run))
        if shown == self._shown:
            return
        self._shown = shown
        steps = [self._put(handle, lambda: [progress_artifact(handle, run)])]
        if percent is not None and int(percent) > int(self._percent):
            steps.append(self._emit(lambda: [progressed_event(handle, run, percent, flow_run_id=self._flow_run_id)]))
        self._percent = float(percent or self._percent)
        await asyncio.gather(*steps)

    async def _tell_end(self, handle: RunHandle, outcome: Outcome) -> None:
        from prefect_planasonix.artifacts import end_artifacts, ended_progress
        from prefect_planasonix.events import ended_event

        await asyncio.gather(
            self._emit(lambda: [ended_event(outcome, flow_run_id=self._flow_run_id, depth=self.depth)]),
            self._tell_assets(outcome),
            self._put(handle, lambda: [ended_progress(outcome)]),
            self._put(handle, lambda: end_artifacts(outcome)),
        )

    async def _tell_stages(self, outcome: StagedOutcome, ends: Mapping[str, Outcome]) -> None:
        from prefect_planasonix.artifacts import stage_artifacts, stages_name
        from prefect_planasonix.events import ended_event

        def events() -> list[EventToTell]:
            told = (end for end in ends.values() if end.id)
            return [ended_event(end, flow_run_id=self._flow_run_id, depth=self.depth) for end in told]

        shelf = self._shelf(outcome.connection_id, stages_name(outcome))
        await asyncio.gather(
            self._emit(events), self._tell_assets(outcome), self._put_on(shelf, lambda: stage_artifacts(outcome))
        )

    async def _tell_assets(self, outcome: Outcome | StagedOutcome) -> None:
        if not self._options.assets:
            return
        try:
            from prefect_planasonix.assets import add_to_own_assets, asset_events

            told = add_to_own_assets(outcome, self._options.asset_key_template)
            events = asset_events(
                outcome,
                key_template=self._options.asset_key_template,
                source_template=self._options.source_key_template,
                flow_run_id=self._flow_run_id,
                told_by_prefect=told,
            )
            await asyncio.to_thread(_emit, events)
        except Exception as error:
            self._failed("the assets", error)

    async def _emit(self, make: Callable[[], list[EventToTell]]) -> None:
        if not self._options.events:
            return
        try:
            await asyncio.to_thread(_emit, make())
        except Exception as error:
            self._failed("the events", error)

    async def _put(self, handle: RunHandle, make: Callable[[], list[ArtifactToShow]]) -> None:
        from prefect_planasonix.artifacts import run_name

        await self._put_on(self._shelf(handle.target_id, run_name(handle.kind, handle.id, handle.target_id)), make)

    async def _put_on(self, shelf: ArtifactShelf, make: Callable[[], list[ArtifactToShow]]) -> None:
        if not self._options.artifacts:
            return
        try:
            artifacts = make()
        except Exception as error:
            self._failed("the artifacts", error)
            return
        results = await asyncio.gather(*map(shelf.put, artifacts), return_exceptions=True)
        for artifact, result in zip(artifacts, results, strict=True):
            if isinstance(result, Exception):
                self._failed(f"the artifact {artifact.key}", result)

    def _shelf(self, target_id: str, name: str) -> ArtifactShelf:
        from prefect_planasonix.artifact_shelf import ArtifactShelf

        if name not in self._shelves:
            shelf = ArtifactShelf(target_id, name, flow_run_id=self._flow_run_id, is_new=self._is_new)
            self._shelves[name] = shelf
        return self._shelves[name]

    def _soon(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do it behind what is under way already, and never raise."""
        before = self._last
        try:
            task = asyncio.get_running_loop().create_task(self._after(before, step), context=self._context.copy())
        except RuntimeError as error:
            # No event loop runs here: a blocking wait called the listener.
            self._failed("its progress", error)
            return
        self._last = task
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)

    async def _after(self, before: asyncio.Task[None] | None, step: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(_LATE_SECONDS):
                if before is not None:
                    await asyncio.wait({before})
                await step()
        except Exception as error:
            self._failed("what it did", error)

    async def _wait(self) -> None:
        if self._last is None:
            return
        _, late = await asyncio.wait({self._last}, timeout=CALL_SECONDS)
        if late:
            self._failed("what it did", TimeoutError(f"Prefect did not take it within {CALL_SECONDS:g} s"))

    def _failed(self, what: str, error: BaseException) -> None:
        warn_once(self._page, self._logger, what, error)


def _emit(events: list[EventToTell]) -> None:
    from prefect_planasonix.events import emit

    emit(events)


async def _close(shelves: list[ArtifactShelf]) -> None:
    for shelf in shelves:
        await shelf.aclose()
