"""Which of its requests for the same target a step makes: one that was answered is not told again as the next one's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from dagster_planasonix._compat import step_object_of

_ENDED: WeakKeyDictionary[Any, Counter[tuple[str, str]]] = WeakKeyDictionary()
"""How many requests came to an end, by the try of a step, and in it by target and part."""


@contextmanager
def numbered_part(context: Any, target_id: str, part: str) -> Iterator[str]:
    """The part that tells this request from the earlier ones of the same try: `part` itself for the first.

    A step that asks for two windows of a connection, or loads it twice, does so in the same order each time, so that a
    retry finds the job of each. Only a request that came to an end counts: the one after an error goes on with its job.
    """
    ended = _ENDED.setdefault(step_object_of(context), Counter())
    number = ended[target_id, part] + 1
    if number == 1:
        yield part
    else:
        yield f"{part}/call {number}" if part else f"call {number}"
    ended[target_id, part] = number
