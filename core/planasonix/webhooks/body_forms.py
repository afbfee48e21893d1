"""The forms in which a signature over the raw body may come.

The documentation says "HMAC over the raw body with your signing secret" and leaves the key's and the signature's
spelling open (facts §3.1). The forms are finite and all follow from the secret, so that trying each of them helps
nobody who lacks it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re

SHORTEST_KEY_BYTES = 16
_PREFIX = "whsec_"
_MOST_VALUES = 16
_LONGEST_HEADER = 4_096
_HEX = re.compile(r"[0-9a-fA-F]{64}\Z")
_BASE64 = re.compile(r"[0-9A-Za-z+/_-]{43}=?\Z")


def keys_of(secret: str) -> tuple[tuple[str, bytes], ...]:
    """What a secret may mean as a key, with the form's name: as shown, without `whsec_`, or decoded from base64.

    A form that yields a key short enough to be guessed is left out.
    """
    rest = secret.removeprefix(_PREFIX)
    forms = {"text": secret.encode()}
    if rest != secret:
        forms["text without whsec_"] = rest.encode()
    with contextlib.suppress(binascii.Error, ValueError):
        forms["base64"] = base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True)
    return tuple((name, key) for name, key in forms.items() if len(key) >= SHORTEST_KEY_BYTES)


def signatures_in(value: str) -> list[bytes]:
    """The signatures of 32 bytes that a header may hold: hex, base64 or base64url, each with or without a prefix.

    Whatever is none of these is left out; so is what stands behind the sixteenth value.
    """
    found: list[bytes] = []
    if len(value) > _LONGEST_HEADER:
        return found
    for word in re.split(r"[,\s]+", value)[:_MOST_VALUES]:
        text = word.removeprefix("sha256=").removeprefix("v1=")
        if _HEX.match(text):
            found.append(bytes.fromhex(text))
        elif _BASE64.match(text):
            plain = text.rstrip("=").replace("-", "+").replace("_", "/")
            found.append(base64.b64decode(plain + "="))
    return found
