"""Takes the caller's own secrets out of an answer before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from planasonix.engine.effects import Reply
from planasonix.errors.redaction import MASK, SHORTEST_SECRET

_MASK_BYTES = MASK.encode()
# JSON writers never escape these; of the others, each has its own habits ("/" as "\/", "=" as "\u003d").
_NEVER_ESCAPED = re.compile(r"[A-Za-z0-9._~-]*")


def masked(reply: Reply, secrets: Sequence[str]) -> Reply:
    """The reply without the secrets: the same object, unless body or a header contains one.

    A server that quotes the key in an answer would otherwise bring it into models, outcomes and logs. Keys
    may have any form, so the literal text is looked for. Texts of fewer than six characters are no secrets.
    """
    for secret in secrets:
        if len(secret) < SHORTEST_SECRET:
            continue
        body = _without(secret, reply.body)
        if body is not reply.body:
            reply = replace(reply, body=body)
        if any(secret in value for value in reply.headers.values()):
            headers = {name: value.replace(secret, MASK) for name, value in reply.headers.items()}
            reply = replace(reply, headers=headers)
    return reply


def _without(secret: str, body: bytes) -> bytes:
    plain = secret.encode()
    if plain in body:
        body = body.replace(plain, _MASK_BYTES)
    if b"\\" in body and not _NEVER_ESCAPED.fullmatch(secret):
        pattern = "".join(_spellings(character) for character in secret)
        found, count = re.subn(pattern.encode(), _MASK_BYTES, body)
        return found if count else body
    return body


def _spellings(character: str) -> str:
    """A pattern of all ways to write a character inside a JSON string."""
    if _NEVER_ESCAPED.fullmatch(character):
        return re.escape(character)
    return rf"(?:\\?{re.escape(character)}|\\u(?i:{ord(character):04x}))"
