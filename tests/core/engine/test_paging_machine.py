"""A list that changes while it is walked, and a server that pages it in every awkward way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from planasonix import Planasonix
from planasonix.engine import PageWalk, Reply
from planasonix.errors import InvalidRequestError, PagingError


class Expired(Exception):
    """The answer to a cursor that is too old: a 400."""


@dataclass
class Server:
    """Rows, newest first. A cursor leads below a row (`keyset`), or to a place in the list (`offset`)."""

    kind: str
    size: int
    rows: list[int] = field(default_factory=list)
    newest: int = 0
    calls: int = 0
    barren_next: bool = False
    short_next: bool = False
    circle_next: bool = False
    expired: set[str] = field(default_factory=set)
    cursors: list[str | None] = field(default_factory=list)
    latest: str | None = None

    def insert(self, count: int) -> list[int]:
        made = list(range(self.newest + 1, self.newest + count + 1))
        self.newest += count
        self.rows = made[::-1] + self.rows
        return made

    def page(self, cursor: str | None) -> tuple[list[int], str | None]:
        self.calls += 1
        if cursor in self.expired:
            raise Expired
        self.cursors.append(cursor)
        rest = self._rest(cursor)
        count = 0 if self.barren_next else max(1, self.size // 2) if self.short_next else self.size
        rows, more = rest[:count], len(rest) > count
        self.barren_next = self.short_next = False
        if self.circle_next:
            earlier = [known for known in self.cursors if known is not None]
            if earlier:
                return rows, earlier[0]
        self.latest = self._after(cursor, rows) if more else None
        return rows, self.latest

    def _rest(self, cursor: str | None) -> list[int]:
        if cursor is None:
            return self.rows
        place = int(cursor.split("/")[1])
        return [row for row in self.rows if row < place] if self.kind == "keyset" else self.rows[place:]

    def _after(self, cursor: str | None, rows: list[int]) -> str:
        if self.kind == "keyset":
            place = rows[-1] if rows else int(cursor.split("/")[1]) if cursor else self.newest + 1
        else:
            place = (int(cursor.split("/")[1]) if cursor else 0) + len(rows)
        return f"{self.calls}/{place}"


class Walks(RuleBasedStateMachine):
    """One walk through `PageWalk`, a page at a time, while the list changes."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []
        self.ended: str | None = None

    @initialize(kind=st.sampled_from(["keyset", "offset"]), size=st.integers(1, 5), count=st.integers(0, 25))
    def begin(self, kind: str, size: int, count: int) -> None:
        self.server = Server(kind, size)
        self.server.insert(count)
        # There before the first page; whatever is removed or moved leaves this set.
        self.constant = set(self.server.rows)
        self.lie = False
        self.walk = PageWalk[int](row_id=lambda row: row)

    @precondition(lambda self: self.ended is None)
    @rule()
    def turn(self) -> None:
        try:
            if not self.walk.advance():
                self.ended = "end"
                return
        except PagingError:
            self.ended = "circle"
            return
        try:
            rows, cursor = self.server.page(self.walk.cursor)
        except Expired:
            self.ended = "expired"
            return
        self.given += self.walk.take(rows, cursor)

    @rule(count=st.integers(1, 4))
    def insert(self, count: int) -> None:
        self.server.insert(count)

    # Behind an offset, what is taken out lets the next rows slip past any client: no walk can promise those.
    @precondition(lambda self: self.server.kind == "keyset" and self.server.rows)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.server.rows))
        self.server.rows.remove(row)
        self.constant.discard(row)

    @precondition(lambda self: len(self.server.rows) > 1)
    @rule(data=st.data())
    def move_to_the_head_of_an_offset_list(self, data: st.DataObject) -> None:
        """As lists do that are in the order of the last change."""
        if self.server.kind == "offset":
            row = data.draw(st.sampled_from(self.server.rows))
            self.server.rows.remove(row)
            self.server.rows.insert(0, row)
            self.constant.discard(row)

    @rule()
    def send_an_empty_page(self) -> None:
        self.server.barren_next = True

    @rule()
    def send_a_short_page(self) -> None:
        self.server.short_next = True

    @precondition(lambda self: not self.lie and self.ended is None and len(self.server.cursors) > 1)
    @rule()
    def run_in_a_circle_from_now_on(self) -> None:
        self.server.circle_next = self.lie = True

    @precondition(lambda self: self.ended is None and self.server.latest is not None)
    @rule()
    def let_the_cursor_expire(self) -> None:
        self.server.expired.add(self.server.latest)

    @invariant()
    def no_row_is_given_twice(self) -> None:
        assert len(self.given) == len(set(self.given))

    @invariant()
    def no_cursor_is_followed_twice(self) -> None:
        if hasattr(self, "server"):
            assert len(self.server.cursors) == len(set(self.server.cursors))

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        # Nothing changes any more: the walk must come to an end, one page for each row at most.
        for _ in range(len(self.server.rows) + self.server.size + 3):
            if self.ended is None:
                self.turn()
        assert self.ended is not None
        self.no_row_is_given_twice()
        if self.ended == "end":
            assert self.constant <= set(self.given)
        assert self.ended != "circle" or self.lie
        assert self.ended != "expired" or self.server.expired


class ClientWalks(Walks):
    """The same through `client.jobs.list`, rows read one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Any = None

    def send(self, request: Any, timeout_seconds: float) -> Reply:
        try:
            rows, cursor = self.server.page(dict(request.query).get("cursor"))
        except Expired:
            return Reply(400, {}, b'{"error": {"code": "invalid_request", "message": "The cursor has expired"}}')
        data = [{"id": f"job_{row}", "status": "running", "type": "connection_sync"} for row in rows]
        body = {"data": data, "meta": {"page": {"limit": 5, "cursor": cursor}}}
        return Reply(200, {"content-type": "application/json"}, json.dumps(body).encode())

    @precondition(lambda self: self.ended is None)
    @rule()
    def turn(self) -> None:
        if self.rows is None:
            self.rows = Planasonix("key-of-a-test", transport=self, deadline_seconds=None).jobs.list(limit=5)
        try:
            self.given.append(int(next(self.rows).id.removeprefix("job_")))
        except StopIteration:
            self.ended = "end"
        except PagingError:
            self.ended = "circle"
        except InvalidRequestError:
            self.ended = "expired"


bounded = settings(
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestWalks = Walks.TestCase
TestWalks.settings = bounded
TestClientWalks = ClientWalks.TestCase
TestClientWalks.settings = settings(bounded, max_examples=60)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_rows_come_before_the_error_through_the_client(length: int) -> None:
    """Page 0 leads to 1, … and the last one back to 1: all of their rows are given, then the error."""

    class Circle:
        def send(self, request: Any, timeout_seconds: float) -> Reply:
            page = int(dict(request.query).get("cursor", "0"))
            body = {"data": [{"id": f"job_{page}", "status": "running"}], "cursor": str(page % length + 1)}
            return Reply(200, {}, json.dumps(body).encode())

    rows = []
    with Planasonix("key-of-a-test", transport=Circle()) as client, pytest.raises(PagingError):
        rows.extend(job.id for job in client.jobs.list())
    assert rows == [f"job_{page}" for page in range(length + 1)]
