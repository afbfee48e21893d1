"""The sensor's cursor as Dagster stores it: with each tick again, and in MySQL at most 64 KB of it."""

from __future__ import annotations

import base64
import binascii
import zlib

from planasonix.errors import ConfigurationError

_PACKED = "zlib:"
_SHORT = 4_000
"""Up to here a text stays as it is: a person can read it in Dagster's UI."""


def packed(text: str) -> str:
    """The text, compressed where it is long."""
    if len(text) <= _SHORT:
        return text
    return _PACKED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(text: str | None) -> str | None:
    """What `packed` was given. Raises `ConfigurationError` where the text is broken."""
    if text is None or not text.startswith(_PACKED):
        return text
    try:
        return zlib.decompress(base64.b64decode(text.removeprefix(_PACKED), validate=True)).decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The stored cursor cannot be read: {error}.",
            field="cursor",
            hint="Reset the sensor's cursor: then detached jobs are told, and what ends from now on.",
        ) from error
