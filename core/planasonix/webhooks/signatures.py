"""Proves that a delivery is genuine. Standard library only, for other people's web handlers.

Two schemes, of which the operator pins one: a sender's header never chooses. `timestamped` signs `{timestamp}.{body}`
(facts §3.2) and proves that a delivery is new. `body` signs the body alone, the only form documented for outbound
deliveries (facts §3.1): it proves origin and content, and a delivery can be replayed; the inbox keeps each event once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from planasonix.errors import ConfigurationError, SignatureError
from planasonix.webhooks.body_forms import signatures_in
from planasonix.webhooks.event import Event, UnreadableEvent
from planasonix.webhooks.secrets_source import Key, SigningSecrets

Scheme = Literal["timestamped", "body"]
SIGNATURE = "X-Planasonix-Signature"
TIMESTAMP = "X-Planasonix-Timestamp"
OLDEST_SECONDS = 300
AHEAD_SECONDS = 60
HORIZON = timedelta(days=7)
"""How old an event may be by the time in its body, where no header's time is signed. The sender's retries are not
documented; they must fit into it."""

_DIGITS = re.compile(r"[0-9]{1,12}\Z")
_V1 = re.compile(r"v1=([0-9a-f]{64})\Z")
_MOST_VALUES = 16
_LONGEST_HEADER = 4_096


class UnmatchedSignature(SignatureError):
    """No known secret made this signature. While a secret is being changed the next one may have."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a delivery verified with: the scheme, the place of the secret (0 is the newest) and the form of its key."""

    scheme: Scheme
    secret_index: int
    key_form: str


def sign(body: bytes, secret: str, *, timestamp: int | datetime | None) -> dict[str, str]:
    """Returns the headers that the API would send: timestamped for an instant, the body alone for None.

    `timestamp` is in Unix seconds, or an aware datetime. Raises `ConfigurationError` for a weak secret.

    >>> headers = sign(b'{"type":"job.failed","job_id":"job_1"}', "whsec_0123456789abcdef", timestamp=1_763_866_800)
    >>> headers["X-Planasonix-Timestamp"], headers["X-Planasonix-Signature"][:3]
    ('1763866800', 'v1=')
    """
    key = SigningSecrets(secret).keys()[0].text
    if timestamp is None:
        return {SIGNATURE: hmac.new(key, body, hashlib.sha256).hexdigest()}
    stamp = str(int(_epoch_seconds(timestamp, "timestamp")))
    digest = hmac.new(key, _stamped(stamp, body), hashlib.sha256).hexdigest()
    return {SIGNATURE: f"v1={digest}", TIMESTAMP: stamp}


def verify(
    body: bytes,
    headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    secrets: SigningSecrets | str | Iterable[str],
    *,
    schemes: Iterable[Scheme] = ("timestamped",),
    now: datetime | float | None = None,
    horizon: timedelta = HORIZON,
) -> Event:
    """Returns the event of a genuine delivery.

    `body` is the raw body as it came; `headers` any mapping or pairs, str or bytes, in any case; `schemes` what the
    operator has pinned; `now` an aware datetime or Unix seconds; `horizon` how old the body may say that it is, under
    `body`. Raises `SignatureError`, and nothing else, whatever a sender sends; `ConfigurationError` for secrets or
    schemes that cannot be.

    >>> body = b'{"id":"evt_1","type":"job.succeeded","job_id":"job_1"}'
    >>> headers = sign(body, "whsec_0123456789abcdef", timestamp=1_763_866_800)
    >>> verify(body, headers, "whsec_0123456789abcdef", now=1_763_866_900).job_id
    'job_1'
    """
    authenticate(body, headers, secrets, schemes=schemes, now=now)
    try:
        event = Event.parse(bytes(body))
    except UnreadableEvent as error:
        raise SignatureError(f"The delivery is genuine, but no event: {error}") from None
    check_age(event, tuple(schemes), now=now, horizon=horizon)
    return event


def authenticate(
    body: bytes,
    headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    secrets: SigningSecrets | str | Iterable[str],
    *,
    schemes: Iterable[Scheme] = ("timestamped",),
    now: datetime | float | None = None,
) -> Match:
    """Returns what the delivery verified with, without reading its body. Raises as `verify`."""
    chosen = checked_schemes(schemes)
    known = secrets if isinstance(secrets, SigningSecrets) else SigningSecrets(secrets)
    at = _epoch_seconds(now, "now") if now is not None else datetime.now(UTC).timestamp()
    raw: Any = body
    if not isinstance(raw, bytes | bytearray | memoryview):
        raise SignatureError("The body must be the raw bytes that came.")
    content = bytes(cast("bytes", raw))
    signatures, stamps = _named(headers)
    if not signatures:
        raise SignatureError(f"The header {SIGNATURE} is missing.")
    keys = known.keys(datetime.fromtimestamp(at, UTC))
    trouble: SignatureError = UnmatchedSignature("No known secret made this signature.")
    for scheme in chosen:
        try:
            found = _timestamped(content, signatures, stamps, keys, at) if scheme == "timestamped" else None
        except SignatureError as error:
            trouble = error
            continue
        found = _body(content, signatures, keys) if scheme == "body" else found
        if found is not None:
            return found
    raise trouble


def check_age(event: Event, schemes: Iterable[Scheme], *, now: datetime | float | None, horizon: timedelta) -> None:
    """Raises `SignatureError` for an event older than the horizon, where the body's own time is all that is signed."""
    if "body" not in schemes or event.occurred_at is None:
        return
    at = _epoch_seconds(now, "now") if now is not None else datetime.now(UTC).timestamp()
    if at - event.occurred_at.timestamp() > horizon.total_seconds():
        raise SignatureError("The event is older than the horizon: a delivery that somebody repeats.")


def checked_schemes(schemes: Iterable[Scheme]) -> tuple[Scheme, ...]:
    """The schemes, if they are some. Raises `ConfigurationError`."""
    chosen = (schemes,) if isinstance(schemes, str) else tuple(schemes)
    if not chosen or any(one not in ("timestamped", "body") for one in chosen):
        raise ConfigurationError("scheme must be timestamped or body.", field="scheme")
    return cast("tuple[Scheme, ...]", chosen)


def _timestamped(body: bytes, values: list[str], stamps: list[str], keys: Iterable[Key], at: float) -> Match | None:
    if len(set(stamps)) != 1 or not _DIGITS.match(stamps[0]):
        raise SignatureError(f"The header {TIMESTAMP} is missing or no number.")
    candidates = [bytes.fromhex(found[1]) for word in _words(values) if (found := _V1.match(word))]
    signed = _stamped(stamps[0], body)
    for index, key in enumerate(keys):
        if _matches(key.text, signed, candidates):
            age = at - int(stamps[0])
            if age > OLDEST_SECONDS:
                raise SignatureError("The signature has expired.")
            if age < -AHEAD_SECONDS:
                raise SignatureError("The signature's time lies in the future: compare the clocks.")
            return Match("timestamped", index, "text")
    return None


def _body(body: bytes, values: list[str], keys: Iterable[Key]) -> Match | None:
    candidates = [one for value in values for one in signatures_in(value)][:_MOST_VALUES]
    for index, key in enumerate(keys):
        for form, material in key.forms:
            if _matches(material, body, candidates):
                return Match("body", index, form)
    return None


def _matches(key: bytes, signed: bytes, candidates: list[bytes]) -> bool:
    if not candidates:
        return False
    expected = hmac.new(key, signed, hashlib.sha256).digest()
    # All of them, so that the time does not tell which one it was.
    return sum(hmac.compare_digest(expected, one) for one in candidates) > 0


def _stamped(stamp: str, body: bytes) -> bytes:
    return stamp.encode() + b"." + body if body else stamp.encode()


def _words(values: list[str]) -> list[str]:
    return [word for value in values for word in re.split(r"[,\s]+", value)][:_MOST_VALUES]


def _named(headers: Any) -> tuple[list[str], list[str]]:
    """The values of the two headers. Anything else that a caller's framework may hold is left out."""
    found: dict[str, list[str]] = {SIGNATURE.lower(): [], TIMESTAMP.lower(): []}
    try:
        pairs = list(cast("Mapping[Any, Any]", headers).items() if hasattr(headers, "items") else headers)
        for name, value in pairs:
            values = found.get(_text(name).lower())
            if values is not None:
                several = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
                values += [text for one in several if 0 < len(text := _text(one).strip(" \t")) <= _LONGEST_HEADER]
    except Exception:
        raise SignatureError("The headers are neither a mapping nor pairs of names and values.") from None
    return found[SIGNATURE.lower()], found[TIMESTAMP.lower()]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _epoch_seconds(moment: datetime | float, field: str) -> float:
    if not isinstance(moment, datetime):
        return float(moment)
    if moment.tzinfo is None:
        raise ConfigurationError(f"{field} must have a time zone.", field=field)
    return moment.timestamp()
