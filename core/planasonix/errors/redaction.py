"""Masks whatever looks like a credential in a text that somebody else wrote."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

MASK = "***"

# Shorter strings of the caller's are no secrets, and masking them would tear ordinary words apart.
SHORTEST_SECRET = 6

# Words that follow "Bearer" in a sentence about the scheme, and are no credential.
_SCHEME_WORD = (
    r"(?:tokens?|keys?|credentials?|auth(?:entication|orization)?|scheme|is|was|or|in|and)"
    r"(?:[\s.,;:!?'\")]|$)"
)

_KEY = re.compile(r"(?<![A-Za-z0-9])(plnx|plx|flx|whsec)_[A-Za-z0-9_\-+/=]+", re.IGNORECASE)
_BEARER = re.compile(rf"\b(Bearer)\s+(?!{_SCHEME_WORD})[^\s\"',;]+", re.IGNORECASE)
_HEADER = re.compile(r"\b(Authorization[\"']?\s*[=:]\s*[\"']?\w+)\s+[^\s\"',;]+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*")
_USERINFO = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
# A named secret, if its value cannot be an ordinary word: long enough, and with a digit in it.
_NAMED = re.compile(
    r"\b((?:x-planasonix-(?:api-)?key|api[_-]?key|access[_-]?token|client[_-]?secret|signing[_-]?secret"
    r"|secret|password|token|authorization)[\"']?\s*[=:]\s*[\"']?)"
    r"(?=[^\s\"'&,;]*\d)[^\s\"'&,;]{12,}",
    re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Returns `text` with everything masked that looks like a credential.

    Masked are Planasonix keys and signing secrets by their known beginnings (facts §4.2 C8: `plnx_`, `plx_`,
    `flx_`, `whsec_`), bearer and basic credentials, JSON web tokens, passwords in URLs and long values after
    a name such as `api_key=`. `secrets` are literal strings to mask besides: a key may have any form, so its
    holder passes it.
    """
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    text = _HEADER.sub(rf"\1 {MASK}", text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    text = _KEY.sub(rf"\1_{MASK}", text)
    text = _JWT.sub(MASK, text)
    text = _USERINFO.sub(MASK, text)
    return _NAMED.sub(rf"\1{MASK}", text)


def redact_data(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Returns JSON-like data with every string in it redacted, names included."""
    secrets = tuple(secrets)
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, Mapping):
        pairs = cast(Mapping[Any, Any], value)
        return {redact_data(key, secrets): redact_data(item, secrets) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [redact_data(item, secrets) for item in cast("list[Any]", value)]
    return value
