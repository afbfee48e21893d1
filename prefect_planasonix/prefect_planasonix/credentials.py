"""The block that holds the API key and makes clients."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from prefect.blocks.abstract import CredentialsBlock
from pydantic import ConfigDict, Field, SecretStr, field_validator

from planasonix.errors import ConfigurationError, PlanasonixError
from prefect_planasonix.block_fields import DOCUMENTATION_URL, LOGO_URL, KnownFields, reads_a_document
from prefect_planasonix.outside import outside_of_runs

if TYPE_CHECKING:
    from planasonix import AsyncPlanasonix, Planasonix

_NOT_SENT_TO_CLIENTS = ("api_key", "inbox_url")


class VerificationError(PlanasonixError):
    """The credentials do not work; the text says why, and which field to look at."""


class PlanasonixCredentials(KnownFields, CredentialsBlock):
    """The API key of a Planasonix tenant, and how to reach it. Makes clients of the API.

    Example:
        Load stored credentials and list the connections:
        ```python
        from prefect_planasonix import PlanasonixCredentials

        credentials = PlanasonixCredentials.load("BLOCK_NAME")
        with credentials.get_client() as client:
            for connection in client.connections.list():
                print(connection.id, connection.name)
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "Planasonix Credentials"
    _block_type_slug = "planasonix-credentials"
    _logo_url = LOGO_URL  # type: ignore[assignment]
    _documentation_url = DOCUMENTATION_URL  # type: ignore[assignment]

    api_key: SecretStr = Field(
        title="API key", description="The API key, as Planasonix shows it once under Settings, API keys."
    )
    base_url: str | None = Field(
        default=None,
        title="Base URL",
        description="The address of the API; empty for PLANASONIX_BASE_URL, and without that for the public one.",
    )
    organization_id: str | None = Field(
        default=None,
        title="Organization ID",
        description="The organization to work in; empty where the key belongs to one only.",
    )
    environment: str | None = Field(
        default=None, description="The id of the environment that pipelines run in unless a run names another one."
    )
    idempotency_header: str = Field(
        default="Idempotency-Key",
        title="Idempotency header",
        description="The name of the header under which a start carries its idempotency key.",
    )
    idempotency: Literal["honoured", "unproven", "ignored"] = Field(
        default="unproven",
        description="Whether your tenant recognises a repeated idempotency key; unproven looks before it sends again.",
    )
    job_url_template: str | None = Field(
        default=None,
        title="Job URL template",
        description="The address of a run's page, with {kind}, {id}, {connection_id} or {pipeline_id} in it.",
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, title="Request timeout", description="How long one request may take, in seconds."
    )

    inbox_url: SecretStr | None = Field(
        default=None,
        title="Inbox URL",
        description="The inbox of webhooks, whose events end waits at once; empty for PLANASONIX_INBOX_URL, else none.",
    )

    @field_validator("api_key")
    @classmethod
    def _has_a_key(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().strip():
            raise ValueError("api_key is empty: give the Planasonix API key")
        return value

    @field_validator("base_url", "organization_id", "environment", "job_url_template", "inbox_url", mode="before")
    @classmethod
    def _empty_means_not_set(cls, value: Any) -> Any:
        # The form sends an empty text for a field that was left alone.
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("job_url_template")
    @classmethod
    def _leads_somewhere(cls, value: str | None) -> str | None:
        # A stored one still loads; the client refuses it.
        if not reads_a_document():
            from planasonix.client.link_template import check_template

            check_template(value)
        return value

    @property
    def block_name(self) -> str | None:
        """The name under which the block was saved; None for one that was not."""
        # One of the names that Prefect's documentation of blocks gives as a block's metadata.
        return self._block_document_name

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of a client but the key: plain data, without a secret."""
        names = [name for name in type(self).model_fields if name not in _NOT_SENT_TO_CLIENTS]
        return {name: getattr(self, name) for name in names}

    def get_client(self, **options: Any) -> Planasonix:
        """Return a new client; close it, or use it with `with`.

        `options` are settings of `planasonix.Planasonix` that go before those of the block. Raises
        `ConfigurationError`, which names the field.

        >>> client = PlanasonixCredentials(api_key="plnx_live_example").get_client()
        >>> client.config.host
        'api.planasonix.com'
        >>> client.close()
        """
        from planasonix import Planasonix  # here, because whoever only imports a flow needs no client

        return Planasonix(**self._arguments(options))

    def get_async_client(self, **options: Any) -> AsyncPlanasonix:
        """Return a new async client; close it, or use it with `async with`. As `get_client`."""
        from planasonix import AsyncPlanasonix

        settings = self._arguments(options)
        if settings.get("reload_api_key") == self._reload_api_key:
            settings["reload_api_key"] = self._areload_api_key
        return AsyncPlanasonix(**settings)

    def verify(self) -> str:
        """Read what every run needs to read, and say in a few sentences what was found: host, organization, clock.

        Starts and changes nothing. Raises `VerificationError`, which says what is wrong: a key that is refused, a right
        that is missing, another organization, an address that does not answer.

        >>> from planasonix.sandbox import Sandbox
        >>> with Sandbox().serve() as sandbox:
        ...     PlanasonixCredentials(api_key=sandbox.api_key, base_url=sandbox.url).verify()[:9]
        '127.0.0.1'
        """
        from planasonix.runs.check import Words, check_connection

        with self.get_client(max_tries=2, deadline_seconds=20.0) as client:
            right, text = check_connection(client, Words(holder="credentials block", new_key=self._new_key()))
        if not right:
            raise VerificationError(text)
        return text

    def _new_key(self) -> str:
        name = self.block_name
        if name is None:
            return "pass it as api_key"
        return f"save it as api_key in the block {name}: on its page, or with save({name!r}, overwrite=True)"

    async def averify(self) -> str:
        """As `verify`."""
        import asyncio

        return await asyncio.to_thread(self.verify)

    def ensure_webhook(
        self,
        url: str,
        events: Sequence[str] | None = None,
        *,
        secret: str | SecretStr | None = None,
        secrets_file: str | None = None,
    ) -> str:
        """Have events sent to the receiver at `url`; returns the id of the subscription, and nothing else.

        :param events: the API's words. None: all that are published.
        :param secret: what a new subscription signs with. In a flow, use the task of `webhook_tasks` instead: Prefect
            may show what a task is given.
        :param secrets_file: the receiver's file, into which it is written first; left out, one is made.

        Idempotent by URL. Raises `ConfigurationError`, and what the API raises. Source: facts §3.1.
        """
        from planasonix.webhooks.subscriptions import DEFAULT_EVENTS, subscribe

        text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        with self.get_client() as client:
            done = subscribe(client, url, events or DEFAULT_EVENTS, secret=text, secrets_file=secrets_file)
        for warning in done.warnings:
            logging.getLogger("prefect_planasonix").warning("%s", warning)
        return done.webhook_id

    def _arguments(self, options: dict[str, Any]) -> dict[str, Any]:
        settings = {"api_key": self.api_key.get_secret_value(), **self.settings(), **options}
        if self.block_name is not None:
            settings = {"reload_api_key": self._reload_api_key, **settings}
        return settings

    async def _areload_api_key(self) -> str:
        import asyncio

        return await asyncio.to_thread(self._reload_api_key)

    def _reload_api_key(self) -> str:
        """The key of the saved block as it is now: a wait of hours outlives its rotation."""
        name = str(self.block_name)
        found: Any = outside_of_runs(lambda: PlanasonixCredentials.load(name))
        if found.base_url != self.base_url:
            # The server that the clients talk to must not get to see the key for another one.
            raise ConfigurationError(
                f"The block {name!r} names another address by now.",
                field="base_url",
                hint="What waits with the old one ends in five minutes; its retry uses the new one.",
            )
        return found.api_key.get_secret_value()


def require_credentials(value: object) -> PlanasonixCredentials:
    """The value, if it is a credentials block. Raises `ConfigurationError`, which names the fix."""
    refuse_what_is_no_block(value)
    if not isinstance(value, PlanasonixCredentials):
        raise ConfigurationError(
            f"credentials must be a PlanasonixCredentials block, got {type(value).__name__}.",
            field="credentials",
            hint='As in credentials=PlanasonixCredentials.load("BLOCK_NAME"); in async code: await ...aload(...).',
        )
    return value


def refuse_what_is_no_block(value: object) -> object:
    """The value, unless it is what is given for a block by mistake. Raises `ConfigurationError`, which names the fix.

    Its text is not repeated: it may be the key.
    """
    if isinstance(value, str):
        raise ConfigurationError(
            "credentials must be a block, got a text.",
            field="credentials",
            hint='For a saved block load it by its name: PlanasonixCredentials.load("BLOCK_NAME"); for a key: '
            "PlanasonixCredentials(api_key=...).",
        )
    if isinstance(value, Mapping) and not reads_a_document():
        raise ConfigurationError(
            "credentials must be a block, got a mapping.",
            field="credentials",
            hint='For a saved block load it by its name: PlanasonixCredentials.load("BLOCK_NAME"); for a key: '
            "PlanasonixCredentials(api_key=...). In a deployment give the saved block: a key among the parameters of a "
            "run can be read by whoever sees the run.",
        )
    if isinstance(value, Coroutine):
        value.close()  # or Python warns of it as well, at some later time
        raise ConfigurationError(
            "credentials must be a block, got a coroutine that nobody has awaited.",
            field="credentials",
            hint='In async code: await PlanasonixCredentials.aload("BLOCK_NAME").',
        )
    return value
