"""Following cursors to the end, and no further."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from planasonix.errors import PagingError

RowT = TypeVar("RowT")

# A server that filters while it scans sends many empty pages in a row; one that runs in a circle under cursors that
# are never the same sends nothing else for ever.
_MOST_BARREN_PAGES = 1_000


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """One page of a list. `cursor` leads to the next one; None means that this is the last, however few its
    rows.
    """

    rows: tuple[RowT, ...]
    cursor: str | None


class PageWalk(Generic[RowT]):
    """The state of one walk over all pages of a list.

    Only a missing cursor ends it: the documented sample of a backfill list has one row, a limit of 50 and a
    cursor (facts §2, "Pagination"), so neither a short nor an empty page is an end. Rows are given out once
    by `row_id`, because rows move between pages while new ones are created.

        walk = PageWalk(row_id=lambda job: job.id)
        while walk.advance():
            page = fetch(walk.cursor)
            yield from walk.take(page.rows, page.cursor)
    """

    def __init__(
        self,
        *,
        row_id: Callable[[RowT], Hashable | None],
        cursor: str | None = None,
        max_pages: int | None = None,
    ) -> None:
        self.cursor = cursor
        self.pages = 0
        self._row_id = row_id
        self._max_pages = max_pages
        self._followed: set[str] = set()
        self._seen_rows: set[Hashable] = set()
        self._barren_pages = 0

    def advance(self) -> bool:
        """Turn to the next page, to be fetched with `cursor`; False at the end.

        Raises `PagingError` if that cursor was followed before (directly or in a circle), if the list goes on
        after `max_pages` pages, or after a thousand pages in a row without a row that was not given out yet.
        It is asked after the rows of the page before were given out, so none of them is lost.
        """
        if self.pages and self.cursor is None:
            return False
        if self._max_pages is not None and self.pages >= self._max_pages:
            raise PagingError(
                f"the list goes on after {self.pages} pages, the most that max_pages allows",
                hint="Narrow the filters, or raise max_pages.",
            )
        if self._barren_pages >= _MOST_BARREN_PAGES:
            raise PagingError(
                f"the last {self._barren_pages} pages of the list held no new row, and it still goes on",
                hint="What was listed so far may be incomplete. Narrow the filters, or try again.",
            )
        if self.cursor is not None:
            if self.cursor in self._followed:
                raise PagingError(
                    f"the server repeats a cursor after page {self.pages}: the list would never end",
                    hint="What was listed so far is incomplete. Try again.",
                )
            self._followed.add(self.cursor)
        self.pages += 1
        return True

    def take(self, rows: Iterable[RowT], cursor: str | None) -> list[RowT]:
        """Account for the fetched page and its cursor; its rows that were not given out before."""
        self.cursor = cursor or None
        fresh = [row for row in rows if self._is_fresh(row)]
        self._barren_pages = 0 if fresh else self._barren_pages + 1
        return fresh

    def _is_fresh(self, row: RowT) -> bool:
        row_id = self._row_id(row)
        if row_id is None:
            return True
        if row_id in self._seen_rows:
            return False
        self._seen_rows.add(row_id)
        return True
