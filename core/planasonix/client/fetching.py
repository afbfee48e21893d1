"""How one page of a list is fetched: a function of the cursor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from planasonix.engine import Page

T = TypeVar("T")

Fetch: TypeAlias = Callable[[str | None], Page[T]]
AsyncFetch: TypeAlias = Callable[[str | None], Awaitable[Page[T]]]
