"""One try of one wish: from a request to its job's end, whatever happened before and whoever interrupts."""

from __future__ import annotations

import logging
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from planasonix.runs import Outcome, RunHandle, RunRequest
from prefect_planasonix.background import own_place
from prefect_planasonix.credentials import require_credentials
from prefect_planasonix.execution import Execution
from prefect_planasonix.options import RunOptions
from prefect_planasonix.owner import current_owner

if TYPE_CHECKING:
    from prefect_planasonix.credentials import PlanasonixCredentials


class Attempt:
    """What a call does for its requests. Made where the call is made: it reads the context of the run.

        outcome = on_shared_loop(Attempt(credentials, RunOptions()).run, SyncRequest("conn_shop_orders"))

    Raises `ConfigurationError` for what is no credentials block.
    """

    def __init__(self, credentials: PlanasonixCredentials, options: RunOptions | None = None) -> None:
        self.credentials = require_credentials(credentials)
        self.options = options or RunOptions()
        self.owner = current_owner()
        self.logger = run_logger()

    async def run(self, request: RunRequest) -> Outcome | None:
        """Start the request's job, or find the one that runs already, and wait for its end, good or bad.

        Returns the outcome of any end, None where the connection was busy and `if_running` is `skip`, or paused and
        `on_paused` is `skip`. Raises `WaitTimeoutError` past the deadline, having cancelled the job; the client's
        errors; `LedgerError`; and `FlowRunGivenUpError` where the flow run was given up, having cancelled the job.
        Whatever interrupts the call passes through once that was settled.
        """
        return await Execution(await self.in_place(), waits=True).run(request)

    async def start(self, request: RunRequest) -> RunHandle | None:
        """The same without the wait; None where `run` would return it."""
        return await Execution(await self.in_place(), waits=False).start(request)

    async def wait(self, handle: RunHandle, *, expected_tables: tuple[str, ...] = ()) -> Outcome:
        """Wait for the end of a job that is running, good or bad. Raises as `run`.

        A job that another flow run has started is never cancelled by this wait, also past its deadline and where this
        flow run is given up: it is the other one's. Outside any run the handle's `owned` decides.
        """
        return await Execution(await self.in_place(), waits=True).wait(handle, expected_tables)

    async def in_place(self) -> Self:
        """The same with the run that the call belongs to, which a background task's context does not tell."""
        owner = await own_place(self.owner)
        if owner is self.owner:
            return self
        other = copy(self)
        other.owner = owner
        return other

    def log(self, level: str, text: str) -> None:
        getattr(self.logger, level)(text)


def run_logger() -> Any:
    """The logger of the run that the caller is in; the package's own outside any."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("prefect_planasonix")
