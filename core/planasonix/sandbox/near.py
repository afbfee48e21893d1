"""What a mistyped name was meant to be: a script or a fault that strikes nothing would let a test pass for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near_or_all(word: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known ones, or all of them if none is near."""
    names = sorted(known)
    if near := get_close_matches(str(word), names, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(near)}?"
    return f"known are {', '.join(names)}" if names else "none is known"
