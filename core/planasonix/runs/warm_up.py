"""Doing at a chosen moment what the first wait of a process would do: import and build."""

from __future__ import annotations

from importlib import import_module

_FIRST_WAIT = (
    "planasonix.client._async.client",
    "planasonix.models.envelopes",
    "planasonix.runs.aio",
    "planasonix.runs.since.shared",
    "planasonix.runs.staged.windows",
    "planasonix.watch.shared",
    "planasonix.watch.watcher",
)
"""By name, because importing this module is to cost nothing."""


def warm_up() -> None:
    """Load what waiting for runs needs: the HTTP library, its TLS defaults, the models of what is waited for.

    For programs whose event loop must not stand still. All of that takes some tenths of a second once per process, and
    the first wait does it where it runs; in a thread before it, the loop goes on meanwhile. Does nothing the second
    time; may be called by several threads. Sends nothing, and raises nothing that the first wait would not.

        await asyncio.to_thread(warm_up)
        async with AsyncPlanasonix() as client:
            job = await client.jobs.wait("job_01jq8v7e8n")
    """
    for name in _FIRST_WAIT:
        import_module(name)
    from planasonix.client._http import load
    from planasonix.models import Backfill, Job, PipelineRun

    load()
    for model in (Job, Backfill, PipelineRun):
        model.read_many([])
