"""Doing at a chosen moment what the first wait of a process would do: import and build."""

from __future__ import annotations


def warm_up() -> None:
    """Load what waiting for runs needs: the HTTP library, its TLS defaults, the models of jobs and backfills.

    For programs whose event loop must not stand still. All of that takes some tenths of a second once per process, and
    the first wait does it where it runs; in a thread before it, the loop goes on meanwhile. Does nothing the second
    time; may be called by several threads. Sends nothing, and raises nothing that the first wait would not.

        await asyncio.to_thread(warm_up)
        async with AsyncPlanasonix() as client:
            job = await client.jobs.wait("job_01jq8v7e8n")
    """
    # Imported here: naming this function is to cost nothing.
    import planasonix.client._async.client
    import planasonix.models.envelopes
    import planasonix.runs.aio
    import planasonix.watch.watcher  # noqa: F401
    from planasonix.client._http import load
    from planasonix.models import Backfill, Job

    load()
    for model in (Job, Backfill):
        model.read_many([])
