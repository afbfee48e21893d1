"""One run of a sync, backfill or pipeline, as plain data that tasks may hand to each other."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from prefect.blocks.abstract import JobRun

from planasonix.errors import ConfigurationError
from prefect_planasonix.credentials import PlanasonixCredentials, require_credentials
from prefect_planasonix.environment import credentials_of_environment
from prefect_planasonix.loop import aon_shared_loop, on_shared_loop
from prefect_planasonix.options import RunOptions

if TYPE_CHECKING:
    from planasonix.runs import EndedRun, Outcome, RunHandle
    from planasonix.watch import Kind


@dataclass(frozen=True, eq=False)
class PlanasonixJobRun(JobRun):
    """What `trigger()` of a job block returns. `handle` is None where the connection was busy or paused and the
    options say to skip it: then there is nothing to wait for, and all results are None.

    The credentials never leave the process: a copy that was stored or sent elsewhere has only the name of their block,
    and loads it there; without a saved block it takes PLANASONIX_API_KEY from the environment.

    ```python
    run = PlanasonixSync.load("orders").trigger()
    run.wait_for_completion()
    print(run.fetch_result().rows_loaded)
    ```
    """

    handle: RunHandle | None
    options: RunOptions = field(default_factory=RunOptions, repr=False)
    expected_tables: tuple[str, ...] = field(default=(), repr=False)
    credentials: PlanasonixCredentials | None = field(default=None, repr=False)
    credentials_block: str | None = field(default=None, repr=False)
    _seen: dict[str, Outcome] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> Kind | None:
        """`job`, `backfill` or `run` (of a pipeline)."""
        return None if self.handle is None else self.handle.kind

    @property
    def id(self) -> str | None:
        return None if self.handle is None else self.handle.id

    @classmethod
    def attach(
        cls,
        credentials: PlanasonixCredentials,
        id: str,
        *,
        kind: Kind = "job",
        options: RunOptions | None = None,
        target_id: str | None = None,
    ) -> PlanasonixJobRun:
        """A run that exists already, whoever started it: it is waited for, and never cancelled but by `cancel()`.

        `target_id` is the connection or pipeline that it has to be of. Its deadline is `options.timeout_seconds` from
        now. Raises `NotFoundError` for an unknown id, `ConfigurationError` for one of another target, and the client's
        errors (facts §1.1, §1.4).
        """
        return on_shared_loop(attached, require_credentials(credentials), id, kind, options or RunOptions(), target_id)

    @classmethod
    async def aattach(
        cls,
        credentials: PlanasonixCredentials,
        id: str,
        *,
        kind: Kind = "job",
        options: RunOptions | None = None,
        target_id: str | None = None,
    ) -> PlanasonixJobRun:
        """As `attach`."""
        credentials = require_credentials(credentials)
        return await aon_shared_loop(attached, credentials, id, kind, options or RunOptions(), target_id)

    def wait_for_completion(self) -> Outcome | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Block until the run has ended well, and return how it ended; None where it was skipped.

        Raises `RunFailedError` or `RunCancelledError` with the report where it did not end well, so that a flow that
        only waits is not green; `WaitTimeoutError` past its deadline, having cancelled it; and the client's errors.
        """
        return on_shared_loop(self._wait, self._credentials())

    async def await_completion(self) -> Outcome | None:
        """As `wait_for_completion`."""
        return await aon_shared_loop(self._wait, await self._acredentials())

    def fetch_result(self) -> Outcome | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The outcome of the run: status, tables with rows and checksums, warnings, error, duration, link.

        Waits for the end where it has not come. Raises as `wait_for_completion`.
        """
        return self.wait_for_completion()

    async def afetch_result(self) -> Outcome | None:
        """As `fetch_result`."""
        return await self.await_completion()

    def cancel(self, *, timeout_seconds: float = 300.0) -> EndedRun | None:
        """Put an end to the run, whoever started it, and wait until it has ended; None where it was skipped.

        Asking twice does no harm. Raises `WaitTimeoutError` when it has not ended in time, and the client's errors.
        """
        return on_shared_loop(self._end, self._credentials(), timeout_seconds)

    async def acancel(self, *, timeout_seconds: float = 300.0) -> EndedRun | None:
        """As `cancel`."""
        return await aon_shared_loop(self._end, await self._acredentials(), timeout_seconds)

    def with_credentials(self, credentials: PlanasonixCredentials) -> PlanasonixJobRun:
        """The same run, reached with these credentials."""
        return replace(self, credentials=require_credentials(credentials))

    def __getstate__(self) -> dict[str, Any]:
        # Results and task inputs are pickled, and stored as they are.
        block = _block_name(self.credentials) or self.credentials_block
        return {**self.__dict__, "credentials": None, "credentials_block": block, "_seen": {}}

    async def _wait(self, credentials: PlanasonixCredentials) -> Outcome | None:
        from planasonix.runs import raise_for_failure
        from prefect_planasonix.attempt import Attempt

        if self.handle is None:
            return None
        outcome = self._seen.get(self.handle.id)
        if outcome is None:
            attempt = Attempt(credentials, self.options)
            outcome = await attempt.wait(self.handle, expected_tables=self.expected_tables)
            self._seen[self.handle.id] = outcome
        raise_for_failure(outcome)
        return outcome

    async def _end(self, credentials: PlanasonixCredentials, timeout_seconds: float) -> EndedRun | None:
        import asyncio

        from planasonix.runs import end_run
        from prefect_planasonix.clients import shared_client

        if self.handle is None:
            return None
        handle, client = self.handle, shared_client(credentials)
        return await asyncio.to_thread(
            end_run, client, handle.kind, handle.id, meant=handle, timeout_seconds=timeout_seconds
        )

    def _credentials(self) -> PlanasonixCredentials:
        if self.credentials is None and self.credentials_block is not None:
            return PlanasonixCredentials.load(self.credentials_block)  # pyright: ignore[reportReturnType]
        return self._unsaved_credentials()

    async def _acredentials(self) -> PlanasonixCredentials:
        if self.credentials is None and self.credentials_block is not None:
            return await PlanasonixCredentials.aload(self.credentials_block)
        return self._unsaved_credentials()

    def _unsaved_credentials(self) -> PlanasonixCredentials:
        if self.credentials is not None:
            return self.credentials
        found = credentials_of_environment()
        if found is None:
            raise ConfigurationError(
                "This run came from another process, and its credentials stayed there.",
                field="credentials",
                hint="Save the credentials block, so that it can be loaded anywhere, or call with_credentials(...).",
            )
        return found


async def attached(
    credentials: PlanasonixCredentials, run_id: str, kind: Kind, options: RunOptions, target_id: str | None
) -> PlanasonixJobRun:
    """The body of `PlanasonixJobRun.attach`."""
    from planasonix.runs import RunHandle
    from planasonix.runs.target import shown_target
    from planasonix.watch.protocols import reader_of
    from prefect_planasonix.clients import shared_async_client

    run: Any = await reader_of(shared_async_client(credentials), kind).get(run_id)
    found = shown_target(run, kind) or target_id or ""
    if target_id is not None and found != target_id:
        raise ConfigurationError(
            f"{kind} {run_id} is one of {found}, not of {target_id}.", field="id", hint="Attach with the block of that."
        )
    now = time.time()
    created = run.created_at.timestamp() if run.created_at is not None else now
    handle = RunHandle(
        kind=kind,
        id=run.id,
        target_id=found,
        owned=False,
        created_at=min(created, now),
        deadline_at=now + options.timeout_seconds,
        intent="",
        reattached=True,
    )
    return PlanasonixJobRun(handle, options, credentials=credentials)


def _block_name(credentials: PlanasonixCredentials | None) -> str | None:
    return None if credentials is None else credentials.block_name
