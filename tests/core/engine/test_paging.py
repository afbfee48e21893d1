"""Walking over lists that end, do not end, move and lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planasonix.engine import PageWalk
from planasonix.errors import PagingError


def walk_over(pages, *, start=None, max_pages=None, rows=None):
    """Rows and cursors fetched, for `pages` = {cursor: (rows, next cursor)}; `rows` collects them even on an error."""
    walk = PageWalk[str](row_id=lambda row: row, cursor=start, max_pages=max_pages)
    rows, cursors = [] if rows is None else rows, []
    while walk.advance():
        cursors.append(walk.cursor)
        page, cursor = pages[walk.cursor]
        rows += walk.take(page, cursor)
    return rows, cursors


def test_only_a_missing_cursor_ends_the_list():
    pages = {None: (["a"], "1"), "1": ([], "2"), "2": ([], "3"), "3": (["b"], None)}
    assert walk_over(pages) == (["a", "b"], [None, "1", "2", "3"])


def test_an_empty_cursor_is_a_missing_one():
    assert walk_over({None: (["a"], "")}) == (["a"], [None])


def test_an_empty_list():
    assert walk_over({None: ([], None)}) == ([], [None])


@pytest.mark.parametrize(
    ("pages", "fetched"),
    [
        ({None: (["a"], "A"), "A": (["b"], "A")}, 2),
        ({None: (["a"], "A"), "A": (["b"], "B"), "B": (["c"], "A")}, 3),
        ({None: (["a"], "A"), "A": (["b"], "B"), "B": (["c"], "C"), "C": (["d"], "B")}, 4),
    ],
    ids=["A-A", "A-B-A", "late circle"],
)
def test_a_circle_is_an_error_after_its_rows_were_given_out(pages, fetched):
    rows = []
    with pytest.raises(PagingError):
        walk_over(pages, rows=rows)
    assert len(rows) == fetched


def test_a_walk_that_starts_at_a_cursor_knows_it():
    with pytest.raises(PagingError):
        walk_over({"A": (["a"], "A")}, start="A")


def test_the_page_cap():
    pages = {None: (["a"], "1"), "1": (["b"], "2"), "2": (["c"], None)}
    assert walk_over(pages, max_pages=3)[0] == ["a", "b", "c"]
    with pytest.raises(PagingError, match="max_pages"):
        walk_over(pages, max_pages=2)


def test_a_circle_under_cursors_that_are_never_the_same_ends_too():
    pages = {None if n == 0 else str(n): (["a", "b"], str(n + 1)) for n in range(2_000)}
    rows = []
    with pytest.raises(PagingError, match="no new row"):
        walk_over(pages, rows=rows)
    assert rows == ["a", "b"]


def test_a_long_scan_without_rows_may_still_find_some():
    pages = {None if n == 0 else str(n): ([], str(n + 1)) for n in range(900)} | {"900": (["a"], None)}
    assert walk_over(pages)[0] == ["a"]


def test_rows_that_move_between_pages_come_once():
    pages = {None: (["a", "b"], "1"), "1": (["b", "c"], None)}
    assert walk_over(pages)[0] == ["a", "b", "c"]


def test_rows_without_an_id_are_never_dropped():
    walk = PageWalk[str](row_id=lambda row: None)
    assert walk.advance()
    assert walk.take(["a", "a"], None) == ["a", "a"]


@given(st.lists(st.sampled_from([None, "A", "B", "C", "D"]), min_size=12, max_size=12))
def test_every_walk_ends(cursors):
    """Whatever cursors a server sends, at most one page per distinct cursor is fetched."""
    walk = PageWalk[int](row_id=lambda row: row)
    try:
        while walk.advance():
            walk.take([], cursors[walk.pages - 1])
    except PagingError:
        assert walk.cursor is not None
    assert walk.pages <= 5
