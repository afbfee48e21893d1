"""A client without a network: runs whose status follows the loop's clock, counted calls, scripted errors."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import NotFoundError

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    id: str
    status: str
    created_at: datetime | None = CREATED

    @property
    def phase(self) -> str:
        return {"queued": "active", "running": "active", "hidden": "active", "canceling": "cancelling"}.get(
            self.status, self.status
        )


@dataclass
class FakeRuns:
    """`ends[id]`: (seconds after the start, final status). `hidden`: alive yet in no list."""

    ends: dict[str, tuple[float, str]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    stale_list_seconds: float = 0.0
    foreign: int = 0
    page_limit: int = 100
    errors: list[Exception] = field(default_factory=list)
    list_errors: list[Exception] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    began: float | None = None
    longest_page_run: int = 0

    def status(self, run_id: str, *, ago: float = 0.0) -> str:
        loop = asyncio.get_running_loop()
        self.began = self.began if self.began is not None else loop.time()
        after, final = self.ends[run_id]
        return final if loop.time() - ago - self.began >= after else "running"

    async def get(self, run_id: str) -> Row:
        self.calls["get"] += 1
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        if run_id not in self.ends:
            raise NotFoundError("no such run", status_code=404)
        return Row(run_id, self.status(run_id))

    async def list_page(self, *, cursor: str | None = None, **filters: Any) -> Any:
        self.calls["list"] += 1
        await asyncio.sleep(0)
        if self.list_errors:
            raise self.list_errors.pop(0)
        rows = [Row(f"foreign_{n}", "running") for n in range(self.foreign)]
        rows += [
            Row(run_id, self.status(run_id, ago=self.stale_list_seconds))
            for run_id in self.ends
            if run_id not in self.hidden
        ]
        rows = [row for row in rows if row.status == filters["status"]]
        start = int(cursor or 0)
        more = start + self.page_limit < len(rows)
        return SimpleNamespace(
            rows=rows[start : start + self.page_limit], cursor=str(start + self.page_limit) if more else None
        )


class FakeClient:
    def __init__(self, credential_id: str = "cred") -> None:
        self.config = SimpleNamespace(watch_key=credential_id)
        self.jobs = FakeRuns()
        self.backfills = FakeRuns()

        self.closed = 0

    def detached(self, **_: Any) -> FakeClient:
        return self

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def make_client() -> type[FakeClient]:
    return FakeClient


@pytest.fixture
def created() -> datetime:
    return CREATED
