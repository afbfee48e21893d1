"""How long a server's wish to be left alone is respected."""

from __future__ import annotations

from planasonix.errors import APIError, PlanasonixError

# Longer than this is taken for a broken header: one bad answer must not silence a credential for years.
LONGEST_BELIEVED_SECONDS = 86_400.0


def asked_pause(error: PlanasonixError) -> float | None:
    """The pause in seconds that the answer's `Retry-After` asked for; None if it did not, or for more than
    a day.

    The documents promise "a Retry-After hint" with a 429 (facts §2); a 503 may carry one by RFC 9110 §10.2.3.
    """
    # A 409 may carry the header too, but means one object, not the whole credential.
    if not isinstance(error, APIError) or error.status_code not in (429, 503):
        return None
    if error.retry_after_seconds is None:
        return None
    return error.retry_after_seconds if error.retry_after_seconds <= LONGEST_BELIEVED_SECONDS else None
