"""Seeded chance: the same seed gives the same tenant, ids, rows, checksums and fault draws."""

from __future__ import annotations

import hashlib
import random
from itertools import count

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def number(seed: int, *parts: object) -> int:
    """A 64-bit number that depends on nothing but its arguments."""
    text = ":".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def between(low: int, high: int, seed: int, *parts: object) -> int:
    return low + number(seed, *parts) % (high - low + 1)


def checksum(seed: int, *parts: object) -> str:
    """`sha256:` and 64 hexadecimal digits, as in the documented results."""
    text = ":".join(map(str, (seed, *parts)))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def generator(seed: int, purpose: str) -> random.Random:
    return random.Random(number(seed, purpose))


class Ids:
    """Identifiers such as `job_01jq00000a9f3kx2p4`: unique, in order of creation, and repeatable."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = count(1)

    def new(self, prefix: str) -> str:
        serial = next(self._numbers)
        return f"{prefix}_01jq{_base32(serial, 7)}{_base32(number(self._seed, prefix, serial), 8)}"


def _base32(value: int, width: int) -> str:
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(width)))
