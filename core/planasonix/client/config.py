"""What a client is told: from arguments, then from the environment, checked before the first call."""

from __future__ import annotations

import functools
import hashlib
import os
import random
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from planasonix.client.api_key import ApiKey, AsyncReloadApiKey, checked_key
from planasonix.client.base_url import host_of, normalize_base_url
from planasonix.client.link_template import check_template
from planasonix.client.routes import DEFAULT_PREFIXES, METHODS, ROUTES, Route, path_of
from planasonix.client.secret import Secret
from planasonix.engine import SYSTEM_CLOCK, Clock, Event
from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

Idempotency: TypeAlias = Literal["honoured", "unproven", "ignored"]
RunVariablesField: TypeAlias = Literal["variables", "parameters"]

DEFAULT_BASE_URL = "https://api.planasonix.com"


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """The settings of a client, complete and checked. Its `repr` shows no secret."""

    api_key: ApiKey
    base_url: str
    organization_id: str | None = None
    environment: str | None = None
    run_variables_field: RunVariablesField = "variables"
    idempotency_header: str = "Idempotency-Key"
    idempotency: Idempotency = "unproven"
    run_idempotency: Idempotency = "unproven"
    path_prefixes: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_PREFIXES))
    routes: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout_seconds: float = 30.0
    connect_timeout_seconds: float = 10.0
    max_tries: int = 5
    deadline_seconds: float | None = 120.0
    max_connections: int = 20
    proxy: Secret | None = None
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    transport: Any = field(default=None, repr=False)
    job_url_template: str | None = None
    on_event: Callable[[Event], None] | None = field(default=None, repr=False)
    rng: random.Random = field(default_factory=random.Random, repr=False)
    clock: Clock = field(default=SYSTEM_CLOCK, repr=False)

    def __post_init__(self) -> None:
        check(self)

    @property
    def host(self) -> str:
        """Host and port of the API, for messages."""
        return host_of(self.base_url)

    @property
    def credential_id(self) -> str:
        """A stable name of key and host, from which neither can be computed back; the same in every
        process. Another one once the key was replaced.
        """
        digest = hashlib.sha256(b"planasonix\0" + self.base_url.encode() + b"\0" + self.api_key.reveal().encode())
        return digest.hexdigest()[:16]

    @property
    def share_key(self) -> tuple[str, int | None]:
        """Clients with an equal one share their rate budget: same credential, and the same way to the API."""
        return self.credential_id, None if self.transport is None else id(self.transport)

    @property
    def watch_key(self) -> Hashable:
        """Clients with an equal one see the same runs: same credential and way to the API, same organization,
        same paths. Who can reload the key is kept apart from who cannot: one looks for all who share this.
        """
        paths = tuple(sorted(self.path_prefixes.items())), tuple(sorted(self.routes.items()))
        return self.share_key, self.api_key.can_be_reloaded, self.organization_id, *paths

    def endpoint(self, operation: str, parameters: Mapping[str, str]) -> tuple[Route, str, str]:
        """Route, method and path of an operation, with the configured prefix or the configured replacement."""
        route = ROUTES[operation]
        override = self.routes.get(operation)
        if override is not None:
            method, template = override.split(" ", 1)
        else:
            method, template = route.method, self.path_prefixes[route.family] + route.path
        return route, method, path_of(template, parameters)

    def idempotency_of(self, operation: str) -> Idempotency:
        """Whether keys count at a start. A tenant may know those of jobs and not those of pipeline runs, for which none
        is documented (facts §1.4).
        """
        return self.run_idempotency if operation == "pipelines.run" else self.idempotency

    def headers(self) -> dict[str, str]:
        """What every request carries. Contains the key: for the transport alone."""
        headers = {
            "authorization": f"Bearer {self.api_key.reveal()}",
            "user-agent": f"planasonix-python/{package_version()}",
            "accept": "application/json",
        }
        if self.organization_id:
            headers["x-organization-id"] = self.organization_id
        return headers


@functools.cache
def package_version() -> str:
    """The installed version of this distribution."""
    try:
        return metadata.version("planasonix")
    except metadata.PackageNotFoundError:
        return "0"


def resolve(
    api_key: Secret | None,
    base_url: str | None,
    settings: Mapping[str, Any],
    reload_api_key: AsyncReloadApiKey | None = None,
) -> ClientConfig:
    """The configuration from arguments, with `PLANASONIX_API_KEY` and `PLANASONIX_BASE_URL` for what is None.

    Key and proxy come wrapped, because tracebacks may show the locals of every frame. Raises
    `ConfigurationError`, naming the field and the remedy.
    """
    if reload_api_key is not None and not callable(reload_api_key):
        raise ConfigurationError(
            "reload_api_key is no function",
            field="reload_api_key",
            hint="Pass a function without arguments that returns the key.",
        )
    if api_key is not None:
        key = ApiKey(checked_key(api_key, "the argument api_key"), reload_api_key)
    else:
        key = ApiKey(_key_of_environment(), reload_api_key or (lambda: _key_of_environment().reveal()))
    url = base_url if base_url is not None else os.environ.get("PLANASONIX_BASE_URL") or DEFAULT_BASE_URL
    given: dict[str, Any] = {
        name: value for name, value in settings.items() if value is not None or name == "deadline_seconds"
    }
    if "path_prefixes" in given:
        given["path_prefixes"] = checked_prefixes(given["path_prefixes"])
    return ClientConfig(api_key=key, base_url=normalize_base_url(url), **given)


def _key_of_environment() -> Secret:
    if "PLANASONIX_API_KEY" not in os.environ:
        raise ConfigurationError(
            "no API key", field="api_key", hint="Pass api_key=..., or set the environment variable PLANASONIX_API_KEY."
        )
    return checked_key(Secret(os.environ["PLANASONIX_API_KEY"]), "the environment variable PLANASONIX_API_KEY")


def checked_prefixes(prefixes: Mapping[str, str]) -> dict[str, str]:
    """The prefix of every family: the given ones, each with a leading and no trailing slash, over the
    defaults.
    """
    unknown = sorted(set(prefixes) - set(DEFAULT_PREFIXES))
    if unknown:
        raise ConfigurationError(
            f"path_prefixes names an unknown family: {', '.join(unknown)}",
            field="path_prefixes",
            hint=f"The families are {', '.join(DEFAULT_PREFIXES)}.",
        )
    cleaned = {family: "/" + prefix.strip("/") if prefix.strip("/") else "" for family, prefix in prefixes.items()}
    return {**DEFAULT_PREFIXES, **cleaned}


def check(config: ClientConfig) -> None:
    """Raises `ConfigurationError` for the first setting that cannot work."""
    for name in ("timeout_seconds", "connect_timeout_seconds", "max_tries", "max_connections", "deadline_seconds"):
        value = getattr(config, name)
        if value is None and name == "deadline_seconds":
            continue
        # `not value > 0` also refuses NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(
                f"{name} must be a number above zero", field=name, hint=f"Leave {name} out to use its default."
            )
    for name in ("max_tries", "max_connections"):
        if not isinstance(getattr(config, name), int):
            raise ConfigurationError(f"{name} must be a whole number", field=name)
    for name in ("idempotency", "run_idempotency"):
        if getattr(config, name) not in ("honoured", "unproven", "ignored"):
            raise ConfigurationError(
                f"{name} must be 'honoured', 'unproven' or 'ignored'",
                field=name,
                hint="'honoured' only where your tenant is known to recognise a repeated key; 'unproven' is the "
                "default.",
            )
    if config.run_variables_field not in ("variables", "parameters"):
        raise ConfigurationError(
            "run_variables_field must be 'variables' or 'parameters'",
            field="run_variables_field",
            hint="'variables' is the documented name; 'parameters' is that of the vendor's own clients.",
        )
    for name in ("idempotency_header", "organization_id"):
        value = getattr(config, name)
        if value is not None and (not value or not value.isascii() or not value.isprintable() or " " in value):
            raise ConfigurationError(f"{name} must be non-empty printable ASCII without blanks", field=name)
    check_template(config.job_url_template)
    for operation, target in config.routes.items():
        check_route(operation, target)


def check_route(operation: str, target: str) -> None:
    """Raises `ConfigurationError` unless `target` can replace the route of `operation`."""
    if operation not in ROUTES:
        raise ConfigurationError(
            f"routes names an unknown operation: {operation}",
            field="routes",
            hint=f"The operations are {', '.join(ROUTES)}.",
        )
    method, _, path = target.partition(" ")
    if method not in METHODS or not path.startswith("/"):
        raise ConfigurationError(
            f"routes[{operation!r}] must look like 'POST /api/v1/...'",
            field="routes",
            hint="Method in capitals, one blank, then the whole path with its parameters in braces.",
        )
