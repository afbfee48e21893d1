"""Airflow's public REST API (v2), as far as tests and the demo need it."""

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from scripts.airflow_local.errors import RestError

_COLLISION_TRIES = 5


class Rest:
    """Calls with a token of the simple auth manager, which treats everybody as an administrator.

    base_url: of the API server, without a path.
    """

    def __init__(self, base_url: str, timeout_seconds: float = 30.0) -> None:
        self.base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._token: str | None = None
        self._lock = threading.Lock()

    def get(self, path: str, **query: object) -> Any:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: object) -> Any:
        return self.call("POST", path, body=body)

    def patch(self, path: str, body: object) -> Any:
        return self.call("PATCH", path, body=body)

    def put(self, path: str, body: object) -> Any:
        return self.call("PUT", path, body=body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def call(self, method: str, path: str, *, query: dict[str, object] | None = None, body: object = None) -> Any:
        """Call `/api/v2` + path (`/ui/...` as it is) and return the decoded answer (None when it is empty).

        Raises RestError for every status of 400 and more, OSError when the server cannot be reached. A collision of
        two writers, which SQLite does not always wait out, is tried again: the server has rolled it back.
        """
        url = f"{self.base_url}{'' if path.startswith('/ui/') else '/api/v2'}{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query, doseq=True)
        headers = {"Authorization": f"Bearer {self.token()}"}
        for _ in range(_COLLISION_TRIES - 1):
            try:
                return self._send(method, url, body, headers)
            except RestError as error:
                if error.status != 500 or "Database error" not in error.body:
                    raise
            time.sleep(0.3)
        return self._send(method, url, body, headers)

    def token(self) -> str:
        """Return an access token, fetched at first use."""
        with self._lock:
            if self._token is None:
                answer = self._send("GET", f"{self.base_url}/auth/token", None, {})
                self._token = str(answer["access_token"])
            return self._token

    def _send(self, method: str, url: str, body: object, headers: dict[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        # JSON also for log texts, which would otherwise come as a stream of lines.
        headers = {"Accept": "application/json", "Content-Type": "application/json"} | headers
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as reply:
                text = reply.read().decode()
        except urllib.error.HTTPError as error:
            path = url.removeprefix(self.base_url)
            raise RestError(method, path, error.code, error.read().decode(errors="replace")) from None
        return json.loads(text) if text else None
