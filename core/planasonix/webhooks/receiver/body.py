"""Reads a delivery's body as it came, and no more of it than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive


class Refused(Exception):
    """A delivery that is answered without being read to its end."""

    def __init__(self, status: int, outcome: str) -> None:
        super().__init__(outcome)
        self.status, self.outcome = status, outcome


def check_head(headers: Mapping[str, str], most_bytes: int) -> None:
    """Raises `Refused` for what the headers alone rule out: a signature covers the bytes as they were made."""
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Refused(415, "compressed")
    length = headers.get("content-length")
    if length is None:
        return
    if not (length.isascii() and length.isdigit() and len(length) <= 20):
        raise Refused(400, "malformed length")
    if int(length) > most_bytes:
        raise Refused(413, "oversized")


async def read_body(receive: Receive, *, most_bytes: int, timeout_seconds: float) -> bytes:
    """Returns the body. Raises `Refused`: too long by count, whatever the header said; too slow; gone."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Refused(400, "disconnected")
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > most_bytes:
                    raise Refused(413, "oversized")
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused(408, "stalled") from None
