"""The hook: clients of the Planasonix API from an Airflow connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import BaseHook, aconnection_and_extra, mask_secret
from airflow_provider_planasonix.hooks.settings import renamed, settings_of
from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from planasonix import AsyncPlanasonix, Planasonix

RELOAD_SECONDS = 30.0
"""How long a thread waits for Airflow to look a connection up again."""


class PlanasonixHook(BaseHook):
    """Reads an Airflow connection once and makes clients from it.

    A key that was rotated meanwhile is read again when the server refuses the one in use, so that a wait of hours, on
    a worker or in a triggerer, outlives it.

    :param planasonix_conn_id: connection of type `planasonix`: host is the base URL, password the API key.

        with PlanasonixHook("planasonix_default").get_client() as client:
            for job in client.jobs.list(status="failed"):
                ...
    """

    conn_name_attr = "planasonix_conn_id"
    default_conn_name = "planasonix_default"
    conn_type = "planasonix"
    hook_name = "Planasonix"

    def __init__(self, planasonix_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planasonix_conn_id = planasonix_conn_id
        self._settings: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.planasonix_conn_id!r})"

    def __getstate__(self) -> dict[str, Any]:
        # The settings hold the key: who unpickles the hook reads the connection again.
        return {**self.__dict__, "_settings": None}

    @property
    def job_url_template(self) -> str | None:
        """The address of a run's page, with the names of `RunHandle.link` in it, such as `{kind}` and `{id}`; None when
        the connection has none.
        """
        return self._read().get("job_url_template")

    def get_conn(self) -> Planasonix:
        """The same as `get_client`, under the name that Airflow's hooks share."""
        return self.get_client()

    def get_client(self, **options: Any) -> Planasonix:
        """Return a new client; close it, or use it with `with`.

        :param options: settings of `planasonix.Planasonix` that go before those of the connection.
        :raises ConfigurationError: a field of the connection is missing or wrong.
        """
        from airflow_provider_planasonix.metrics import count_event
        from planasonix import Planasonix

        settings = {"reload_api_key": self._reload_api_key, "on_event": count_event, **self._read(), **options}
        try:
            return Planasonix(**settings)
        except ConfigurationError as error:
            raise renamed(error, self.planasonix_conn_id) from None

    async def get_async_client(self, **options: Any) -> AsyncPlanasonix:
        """Return a new async client, safe to call in a triggerer; close it, or use it with `async with`.

        The parameters and errors are those of `get_client`.
        """
        from airflow_provider_planasonix.metrics import count_event
        from planasonix import AsyncPlanasonix

        if self._settings is None:
            connection, extra = await aconnection_and_extra(self.planasonix_conn_id)
            self._settings = settings_of(connection, extra)
        settings = {
            "reload_api_key": self._areload_api_key,
            "on_event": count_event,
            **self._settings,
            **options,
        }
        try:
            return AsyncPlanasonix(**settings)
        except ConfigurationError as error:
            raise renamed(error, self.planasonix_conn_id) from None

    def client_for_thread(self, loop: asyncio.AbstractEventLoop) -> Planasonix:
        """A client for a thread of a triggerer whose event loop is `loop`, and where `get_async_client` was called.

        A rotated key is looked up on the loop: in a triggerer Airflow answers nowhere else.
        """

        def reload() -> str:
            return asyncio.run_coroutine_threadsafe(self._areload_api_key(), loop).result(RELOAD_SECONDS)

        return self.get_client(reload_api_key=reload)

    def ensure_webhook(
        self,
        url: str,
        events: Sequence[str] | None = None,
        *,
        secret: str | None = None,
        secrets_file: str | None = None,
    ) -> str:
        """Have events sent to the URL, with one subscription however often this is called; returns its id only.

        What the API or somebody should know is logged. A subscription that is there gets the events and keeps its
        secret: no secret is returned, as Airflow would keep it with the task's result.

        :param url: the receiver's address: `https://<API server>/planasonix/webhooks`.
        :param events: the API's words; None for all that are published.
        :param secret: what a new subscription signs with, 16 bytes or more: the one in `[planasonix] webhook_secrets`.
        :param secrets_file: the receiver's file on this machine instead; a new secret is written there.
        :raises ConfigurationError: a URL, secret or file that cannot be.

            webhook_id = PlanasonixHook().ensure_webhook(url, secret=Variable.get("planasonix_webhook_secret"))
        """
        from planasonix.webhooks.subscriptions import DEFAULT_EVENTS, subscribe

        if secret:
            mask_secret(secret)
        with self.get_client() as client:
            made = subscribe(client, url, events or DEFAULT_EVENTS, secret=secret, secrets_file=secrets_file)
        for warning in made.warnings:
            self.log.warning(warning)
        self.log.info("webhook %s: %s", made.webhook_id, made.done)
        return made.webhook_id

    def test_connection(self) -> tuple[bool, str]:
        """Say what works, what does not and what was not checked; see `hooks.check`."""
        from airflow_provider_planasonix.hooks.check import check_connection

        try:
            with self.get_client(max_tries=2, deadline_seconds=20.0) as client:
                return check_connection(client)
        except PlanasonixError as error:
            return False, str(error)
        except Exception as error:
            # Airflow's own, such as a connection that does not exist.
            return False, f"{type(error).__name__}: {error}"

    def _read(self) -> dict[str, Any]:
        if self._settings is None:
            self._settings = self._read_now()
        return self._settings

    def _read_now(self) -> dict[str, Any]:
        connection = self.get_connection(self.planasonix_conn_id)
        for secret in (connection.password, connection.extra_dejson.get("proxy")):
            if secret:
                mask_secret(secret)
        return settings_of(connection, connection.extra_dejson)

    def _reload_api_key(self) -> str:
        return self._key_of(self._read_now())

    async def _areload_api_key(self) -> str:
        connection, extra = await aconnection_and_extra(self.planasonix_conn_id)
        return self._key_of(settings_of(connection, extra))

    def _key_of(self, settings: dict[str, Any]) -> str:
        """The key of the connection as it is now, for clients that are in use.

        A connection that names another server or proxy by now has a key for that one: the server that the clients
        talk to must not get to see it.
        """
        before = self._settings
        if before is not None and any(settings.get(name) != before.get(name) for name in ("base_url", "proxy")):
            raise ConfigurationError(
                f"Airflow connection {self.planasonix_conn_id!r} names another host or proxy now",
                field="host",
                hint="What waits with the old one ends in five minutes; its retry uses the new one.",
            )
        self._settings = settings
        return settings["api_key"]
