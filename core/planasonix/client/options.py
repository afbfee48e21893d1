"""Which settings a copy of a client may change."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from planasonix.client.config import ClientConfig, Idempotency, RunVariablesField, checked_prefixes
from planasonix.engine import Clock, Event
from planasonix.errors import ConfigurationError


class CallOptions(TypedDict, total=False):
    """The settings that do not concern the connections themselves."""

    environment: str | None
    run_variables_field: RunVariablesField
    idempotency_header: str
    idempotency: Idempotency
    run_idempotency: Idempotency
    path_prefixes: Mapping[str, str]
    routes: Mapping[str, str]
    timeout_seconds: float
    max_tries: int
    deadline_seconds: float | None
    job_url_template: str | None
    on_event: Callable[[Event], None] | None
    rng: random.Random
    clock: Clock


def changed(config: ClientConfig, options: CallOptions) -> ClientConfig:
    """The configuration with the options applied. Raises `ConfigurationError` for one that a copy cannot
    change.
    """
    changes: dict[str, Any] = dict(options)
    fixed = sorted(set(changes) - set(CallOptions.__annotations__))
    if fixed:
        raise ConfigurationError(
            f"with_options cannot change {', '.join(fixed)}",
            field=fixed[0],
            hint="Create a new client for that. A copy can change " + ", ".join(CallOptions.__annotations__) + ".",
        )
    if "path_prefixes" in changes:
        changes["path_prefixes"] = checked_prefixes({**config.path_prefixes, **changes["path_prefixes"]})
    return replace(config, **changes)
