"""Records in order of creation, found by status or by what they belong to without a scan."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar


class Record(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def created(self) -> float: ...

    status: str


R = TypeVar("R", bound=Record)


class Shelf(Generic[R]):
    """Records by id, plus sorted sequence numbers per status and per owner, which the field `owner_field` names.

    A status change costs O(log n) comparisons and one short memory move; a page costs what it looks at.
    """

    def __init__(self, owner_field: str = "connection_id") -> None:
        self._owner_field = owner_field
        self.by_id: dict[str, R] = {}
        self._all: list[R] = []
        self._groups: dict[tuple[str, str], list[int]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, record: R) -> None:
        if record.seq != len(self._all):
            raise ValueError("records are added in the order of their sequence numbers")
        self._all.append(record)
        self.by_id[record.id] = record
        self._groups.setdefault(("status", record.status), []).append(record.seq)
        self._groups.setdefault(("owner", self._owner_of(record)), []).append(record.seq)

    def _owner_of(self, record: R) -> str:
        return getattr(record, self._owner_field)

    def set_status(self, record: R, status: str) -> None:
        old = self._groups[("status", record.status)]
        del old[bisect_left(old, record.seq)]
        record.status = status
        insort(self._groups.setdefault(("status", status), []), record.seq)

    def with_status(self, status: str) -> list[R]:
        return [self._all[seq] for seq in self._groups.get(("status", status), ())]

    def newest(self, count: int) -> list[R]:
        return self._all[-count:][::-1] if count else []

    def walk(
        self,
        *,
        below: int | None = None,
        status: str | None = None,
        owner: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[R]:
        """Newest first, from below a sequence number, within whole-second bounds on the creation (both inclusive)."""
        top = len(self._all) if below is None else min(below, len(self._all))
        if until is not None:
            top = min(top, bisect_right(self._all, until, key=_created_second))
        bottom = 0 if since is None else bisect_left(self._all, since, key=_created_second)
        for seq in self._narrowest(status, owner, bottom, top):
            record = self._all[seq]
            if status is not None and record.status != status:
                continue
            if owner is not None and self._owner_of(record) != owner:
                continue
            yield record

    def _narrowest(self, status: str | None, owner: str | None, bottom: int, top: int) -> Iterator[int]:
        lists = [
            self._groups.get((name, value), [])
            for name, value in (("status", status), ("owner", owner))
            if value is not None
        ]
        if not lists:
            yield from range(top - 1, bottom - 1, -1)
            return
        smallest = min(lists, key=len)
        first, last = bisect_left(smallest, bottom), bisect_left(smallest, top)
        for place in range(last - 1, first - 1, -1):
            yield smallest[place]


def _created_second(record: Any) -> float:
    return record.created // 1
