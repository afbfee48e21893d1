"""Airflow's public REST API (v2), as far as reconcile reads it. Reads only; holds the token and never shows it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from planasonix.errors import ConfigurationError, PlanasonixError

# httpx is imported on first use: an installed entry point must not make every command slow.
if TYPE_CHECKING:
    import httpx

_TRIES = 5
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class AirflowApiError(PlanasonixError):
    """Airflow's API did not answer, or not with what was asked for."""


class AirflowRest:
    """Calls with a token: the one given, or one that Airflow's auth manager gives for user name and password.

    With neither, a token is asked for without credentials, which works where the simple auth manager lets everybody in.
    Safe to use from several threads.

    :param url: of Airflow's API server, as in `https://airflow.example.com`, without `/api/v2`.
    :param transport: an httpx transport, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigurationError(
                "The URL of Airflow's API server must be http(s)://host[:port][/path], without user and password.",
                field="PLANASONIX_AIRFLOW_URL",
                hint="As in https://airflow.example.com; credentials go into PLANASONIX_AIRFLOW_TOKEN, or _USERNAME "
                "and _PASSWORD.",
            )
        if (username is None) != (password is None):
            raise ConfigurationError(
                "A user name for Airflow needs a password, and the other way round.",
                field="PLANASONIX_AIRFLOW_USERNAME",
                hint="Set PLANASONIX_AIRFLOW_USERNAME and PLANASONIX_AIRFLOW_PASSWORD, or PLANASONIX_AIRFLOW_TOKEN.",
            )
        import httpx

        self.url = url.rstrip("/")
        self._given_token = token
        self._token = token
        self._login = None if username is None else {"username": username, "password": password}
        self._sleep = sleep
        self._http = httpx.Client(timeout=30.0, transport=transport, headers={"Accept": "application/json"})

    def __repr__(self) -> str:
        return f"AirflowRest({self.url!r})"

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer to GET `/api/v2` + path; None where there is no such thing (404).

        Raises `ConfigurationError` where the credentials are refused, `AirflowApiError` for the rest, after tries.
        """
        url = f"{self.url}/api/v2{path}"
        answer = self._send("GET", url, params=query, headers=self._authorization())
        if answer.status_code == 401 and self._given_token is None:
            # Tokens live for a day at most: ask for another one, once.
            self._token = None
            answer = self._send("GET", url, params=query, headers=self._authorization())
        if answer.status_code == 404:
            return None
        return self._decoded(answer, path)

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            url = f"{self.url}/auth/token"
            answer = self._send("GET", url) if self._login is None else self._send("POST", url, json=self._login)
            data = self._decoded(answer, "/auth/token")
            token = data.get("access_token") if isinstance(data, dict) else None
            if not isinstance(token, str):
                raise AirflowApiError("Airflow's /auth/token answered without an access_token.")
            self._token = token
        return {"Authorization": f"Bearer {self._token}"}

    def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """One call, tried again while the server is away or overloaded. To ask twice does no harm here."""
        import httpx

        pause = _FIRST_PAUSE_SECONDS
        for last in (*[False] * (_TRIES - 1), True):
            asked_pause = 0.0
            try:
                answer = self._http.request(method, url, **options)
            except httpx.TransportError as error:
                if last:
                    # Not the error's own text: it may quote what was sent.
                    raise AirflowApiError(
                        f"Airflow's API at {self.url} cannot be reached ({type(error).__name__}).",
                        hint="Check PLANASONIX_AIRFLOW_URL and the network.",
                    ) from None
            else:
                if last or (answer.status_code < 500 and answer.status_code != 429):
                    return answer
                asked = answer.headers.get("Retry-After", "")
                asked_pause = min(float(asked), _LONGEST_PAUSE_SECONDS) if asked.isdigit() else 0.0
            self._sleep(max(asked_pause, pause * random.uniform(0.5, 1.0)))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _decoded(self, answer: httpx.Response, path: str) -> Any:
        status = answer.status_code
        if status in (401, 403):
            given = "the credentials" if self._given_token or self._login else "to let anybody in without credentials"
            raise ConfigurationError(
                f"Airflow's API at {self.url} refuses {given} for {path} (HTTP {status}).",
                field="PLANASONIX_AIRFLOW_TOKEN",
                hint="Set PLANASONIX_AIRFLOW_TOKEN, or _USERNAME and _PASSWORD, of a user who may read task instances.",
            )
        if not answer.is_success:
            raise AirflowApiError(f"Airflow's API answered HTTP {status} to {path}.")
        try:
            return answer.json()
        except ValueError:
            raise AirflowApiError(
                f"What answers at {self.url} is not Airflow's API.", hint="Check PLANASONIX_AIRFLOW_URL."
            ) from None
