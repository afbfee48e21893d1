"""Signatures of outbound deliveries, in every form that the documentation leaves open."""

from __future__ import annotations

import base64
import hashlib
import hmac

from .switches import Switches

SIGNATURE = "X-Planasonix-Signature"
TIMESTAMP = "X-Planasonix-Timestamp"


def signature_headers(body: bytes, secret: str, *, switches: Switches, timestamp: int) -> dict[str, str]:
    """HMAC-SHA256 keyed with the UTF-8 bytes of the secret as shown.

    `body`: over the raw body, hexadecimal or base64, with the prefix that the tenant uses. `timestamped`:
    over `{timestamp}.{body}` (the timestamp alone for an empty body), `v1=` and hexadecimal, the
    timestamp in its own header.
    """
    if switches.signature_scheme == "timestamped":
        stamp = str(timestamp).encode()
        signed = stamp + b"." + body if body else stamp
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return {SIGNATURE: f"v1={digest}", TIMESTAMP: str(timestamp)}
    raw = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    text = raw.hex() if switches.signature_encoding == "hex" else base64.b64encode(raw).decode()
    return {SIGNATURE: switches.signature_prefix + text}
