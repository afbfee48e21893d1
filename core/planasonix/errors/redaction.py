"""Masks whatever looks like a credential in a text that somebody else wrote."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

MASK = "***"

# Shorter strings of the caller's are no secrets, and masking them would tear ordinary words apart.
SHORTEST_SECRET = 6

# Words that follow "Bearer" in a sentence about the scheme, and are no credential.
_SCHEME_WORD = (
    r"(?:tokens?|keys?|credentials?|auth(?:entication|orization)?|scheme|is|was|or|in|and)"
    r"(?:[\s.,;:!?'\")]|$)"
)

# A named secret, if its value cannot be an ordinary word: long enough, and with a digit in it.
_NAMED = (
    r"\b((?:x-planasonix-(?:api-)?key|api[_-]?key|access[_-]?token|client[_-]?secret|signing[_-]?secret"
    r"|secret|password|token|authorization)[\"']?\s*[=:]\s*[\"']?)"
    r"(?=[^\s\"'&,;]*\d)[^\s\"'&,;]{12,}"
)


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What is masked, and by what, in this order. Compiled on first use: DAG files import errors and raise none."""
    header = r"\b(Authorization[\"']?\s*[=:]\s*[\"']?\w+)\s+[^\s\"',;]+"
    bearer = rf"\b(Bearer)\s+(?!{_SCHEME_WORD})[^\s\"',;]+"
    return (
        (re.compile(header, re.IGNORECASE), rf"\1 {MASK}"),
        (re.compile(bearer, re.IGNORECASE), rf"\1 {MASK}"),
        (re.compile(r"(?<![A-Za-z0-9])(plnx|plx|flx|whsec)_[A-Za-z0-9_\-+/=]+", re.IGNORECASE), rf"\1_{MASK}"),
        (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"), MASK),
        (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), MASK),
        (re.compile(_NAMED, re.IGNORECASE), rf"\1{MASK}"),
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
    for pattern, mask in _rules():
        text = pattern.sub(mask, text)
    return text


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
