"""What the tasks do, once for each pair of twins; for the shared loop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from planasonix.runs import Outcome, RunHandle, raise_for_failure
from planasonix.watch.protocols import Kind
from prefect_planasonix.arguments import options_from, request_for
from prefect_planasonix.attempt import Attempt
from prefect_planasonix.credentials import require_credentials
from prefect_planasonix.option_arguments import OptionArguments
from prefect_planasonix.options import RunOptions

Handle = dict[str, Any]
"""A `planasonix.runs.RunHandle` as its `to_dict()`: kind, id, connection or pipeline, deadline. Holds no secret."""
_ID = re.compile(r"[A-Za-z0-9_.:-]+")
_NOTHING = ("None", "null")


async def start(kind: Any, credentials: Any, options: OptionArguments, asked: dict[str, Any]) -> Handle | None:
    request = request_for(kind, credentials, **asked)
    handle = await Attempt(credentials, options_from(credentials, dict(options))).start(request)
    return None if handle is None else handle.to_dict()


async def wait(
    credentials: Any,
    handle: Handle | str | None,
    kind: Kind,
    expected_tables: tuple[str, ...],
    options: OptionArguments,
) -> Outcome | None:
    attempt = Attempt(require_credentials(credentials), options_from(credentials, dict(options)))
    run = _named(handle, kind)
    if run is None:
        return None
    outcome = await attempt.wait(_whole(handle, run, attempt.options), expected_tables=expected_tables)
    raise_for_failure(outcome)
    return outcome


async def results(credentials: Any, handle: Handle | str, kind: Kind) -> dict[str, Any]:
    from planasonix.runs import aoutcome_of
    from prefect_planasonix.clients import shared_async_client

    client = shared_async_client(require_credentials(credentials))
    return (await aoutcome_of(client, _required(handle, kind))).to_dict()


async def end(credentials: Any, handle: Handle | str, kind: Kind, timeout_seconds: float) -> str:
    import asyncio

    from planasonix.runs import end_run
    from prefect_planasonix.clients import shared_client

    client = shared_client(require_credentials(credentials))
    run = _required(handle, kind)
    ended = await asyncio.to_thread(end_run, client, run.kind, run.id, timeout_seconds=timeout_seconds)
    return ended.status


def _named(handle: Handle | str | None, kind: Kind) -> RunHandle | None:
    """`kind` is what a bare id names."""
    if isinstance(handle, str) and _ID.fullmatch(handle.strip()) and handle.strip() not in _NOTHING:
        return RunHandle.named({"kind": kind, "id": handle.strip()})
    return RunHandle.named(handle)


def _required(handle: Handle | str, kind: Kind) -> RunHandle:
    from planasonix.errors import ConfigurationError

    run = _named(handle, kind)
    if run is None:
        raise ConfigurationError("handle is None: nothing was started.", field="handle")
    return run


def _whole(handle: Any, named: RunHandle, options: RunOptions) -> RunHandle:
    """The handle with its times; one that has none gets its deadline from the options, from now."""
    import time

    if isinstance(handle, Mapping) and handle.get("deadline_at"):
        return RunHandle.from_dict(dict(handle))
    now = time.time()
    return RunHandle(**{**asdict(named), "created_at": now, "deadline_at": now + options.timeout_seconds})
