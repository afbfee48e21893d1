"""The examples in the docstrings run as they stand."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import textwrap

import pytest

import planasonix
from planasonix.sandbox import DEFAULT_API_KEY

MODULES = ("client", "connections", "jobs", "backfills", "pipelines", "runs", "webhooks")
SAMPLE_JOB, SAMPLE_RUN = "job_01jq8syncabc", "run_01j8k2m4"


def examples_in(docstring):
    """The blocks that are indented deeper than the text around them."""
    block: list[str] = []
    for line in [*inspect.cleandoc(docstring or "").splitlines(), ""]:
        if line.startswith("    ") or (block and not line):
            block.append(line)
        elif block:
            yield textwrap.dedent("\n".join(block))
            block = []
    if "".join(block).strip():
        yield textwrap.dedent("\n".join(block))


def collect(package):
    for name in MODULES:
        module = importlib.import_module(f"planasonix.client.{package}.{name}")
        for kind, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ != module.__name__:
                continue
            for member, thing in [("", cls), *inspect.getmembers(cls, inspect.isfunction)]:
                for number, code in enumerate(examples_in(thing.__doc__)):
                    yield pytest.param(code, id=f"{kind}.{member}.{number}")


@pytest.fixture
def with_finished(sandbox, monkeypatch):
    """Puts the ids of a finished job and a finished run into an example."""
    monkeypatch.setenv("PLANASONIX_API_KEY", DEFAULT_API_KEY)
    monkeypatch.setenv("PLANASONIX_BASE_URL", sandbox.url)
    with planasonix.Planasonix() as client:
        job = client.connections.sync("conn_shop_orders")
        run = client.pipelines.run("pl_01hqxyz")
    sandbox.advance(60)
    return lambda code: code.replace(SAMPLE_JOB, job.id).replace(SAMPLE_RUN, run.id)


@pytest.mark.parametrize(
    "code", [*collect("_sync"), *(pytest.param(c, id="package") for c in examples_in(planasonix.__doc__))]
)
def test_blocking_examples(code, with_finished):
    with planasonix.Planasonix() as client:
        exec(with_finished(code), {"client": client, "Planasonix": planasonix.Planasonix})


@pytest.mark.parametrize("code", [*collect("_async")])
def test_async_examples(code, with_finished):
    source = f"async def example(client):\n{textwrap.indent(with_finished(code), '    ')}"
    names = {"AsyncPlanasonix": planasonix.AsyncPlanasonix}
    exec(source, names)

    async def main():
        async with planasonix.AsyncPlanasonix() as client:
            await names["example"](client)

    asyncio.run(main())


def test_there_are_examples():
    assert len([*collect("_sync")]) == len([*collect("_async")]) >= 6
