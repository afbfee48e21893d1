"""How the emulated tenant behaves where the documentation is silent or contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

Profile = Literal["strict", "rich"]
Flaw = Literal[
    "none",
    "unsigned",  # without a signature
    "forged",  # signed with another secret
    "altered",  # the signature is that of another body
    "stale",  # signed long ago, and the body says so too
    "oversized",  # genuine, two mebibytes
    "bad_json",  # genuine, cut off
    "wrong_types",  # genuine, numbers and lists where texts belong
    "lying_status",  # genuine, the opposite of how the run ended
    "unknown_type",  # genuine, of a type that is not published
    "unknown_object",  # genuine, of a run that does not exist
]


@dataclass(frozen=True)
class Switches:
    """One tenant's habits. `strict` does only what is documented; `rich` is the kind tenant.

    Times are virtual seconds unless the name or the comment says otherwise.
    """

    # Idempotency. The header's name is not published.
    idempotency: Literal["honoured", "ignored"] = "honoured"
    idempotency_header: str = "Idempotency-Key"
    idempotency_ttl_seconds: float = 86_400.0
    idempotency_replay: Literal["saved", "live"] = "saved"
    # For the start of a pipeline run no key is documented.
    run_idempotency: Literal["honoured", "ignored"] = "ignored"
    # A second sync (or backfill) of a connection while one is active.
    busy: Literal["409", "queue", "parallel"] = "409"
    # A second run of a pipeline while one is active.
    run_busy: Literal["409", "parallel"] = "parallel"
    telling_conflicts: bool = False  # codes that say why, and `existing_job_id`
    # Jobs.
    echo_metadata: bool = False
    table_status: bool = False  # a `status` per table in the results, failed ones listed
    results_before_end: Literal["409", "stub"] = "409"
    cancel_outcome: Literal["cancelled", "succeeded", "failed"] = "cancelled"
    cancel_seconds: float = 2.0
    ended_run_cancel: Literal["409", "400"] = "409"  # cancelling a pipeline run that has ended
    run_logs: Literal["lines", "text", "url"] = "lines"
    unknown_tables: Literal["accept", "reject"] = "accept"
    backfill_shard_days: float = 30.0
    backfill_concurrency: int = 4
    # Lists.
    page_limit_default: int = 50
    page_limit_max: int = 100
    page_limit_over: Literal["400", "clamp"] = "400"
    paging: Literal["plain", "short", "trailing", "empty", "repeat"] = "plain"
    cursor_ttl_seconds: float | None = None
    list_staleness_seconds: float = 0.0
    # Limits and headers. Windows are virtual time, what a caller is told is its own time.
    rate_limit: int | None = None  # calls per key and window
    rate_window_seconds: float = 60.0
    rate_headers: bool = False
    retry_after_format: Literal["seconds", "date"] = "seconds"
    request_id_header: bool = False
    latency_seconds: float = 0.0  # real seconds before every answer
    # Bodies.
    dialect: Literal["documented", "vendor"] = "documented"
    # Deliveries of webhooks.
    signature_scheme: Literal["body", "timestamped"] = "body"
    signature_encoding: Literal["hex", "base64"] = "hex"
    signature_prefix: str = ""  # for instance "sha256="
    signature_age_seconds: float = 0.0  # real seconds that a signed timestamp lies back
    delivery_max_attempts: int = 5
    delivery_backoff_seconds: float = 1.0
    delivery_timeout_seconds: float = 5.0  # real seconds
    delivery_duplicates: int = 0  # how many more times each event is sent
    delivery_reorder: bool = False  # events are sent in pairs, the later one first
    delivery_delay_seconds: float = 0.0  # between the end of a run and its event
    delivery_replays: int = 0  # how many more times a delivered event comes, byte for byte, signature and all
    delivery_flaw: Flaw = "none"  # what is wrong with each delivery; see `Flaw`
    delivery_flaw_place: Literal["instead", "beside"] = "instead"  # beside: the flawed one first, then the genuine one
    delivery_hosts: tuple[str, ...] = ()  # allowed targets besides loopback
    deliveries_enabled: bool = True  # False: events get lost


PROFILES: dict[str, Switches] = {
    "strict": Switches(),
    "rich": Switches(
        idempotency_replay="live",
        run_idempotency="honoured",
        telling_conflicts=True,
        echo_metadata=True,
        table_status=True,
        results_before_end="stub",
        rate_limit=1200,
        rate_headers=True,
        request_id_header=True,
        signature_scheme="timestamped",
    ),
}

_HINTS = get_type_hints(Switches)


def switches_for(profile: str, overrides: dict[str, Any]) -> Switches:
    """The profile's switches with some changed. Raises ValueError for an unknown profile, switch or value."""
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, not {profile!r}")
    return changed(PROFILES[profile], overrides)


def changed(switches: Switches, overrides: dict[str, Any]) -> Switches:
    known = {each.name for each in fields(Switches)}
    for name, value in overrides.items():
        if name not in known:
            raise ValueError(f"unknown switch {name!r}; known are {', '.join(sorted(known))}")
        hint = _HINTS[name]
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ValueError(f"{name} must be one of {', '.join(get_args(hint))}, not {value!r}")
    if isinstance(overrides.get("delivery_hosts"), list):
        overrides = overrides | {"delivery_hosts": tuple(overrides["delivery_hosts"])}
    return replace(switches, **overrides)
