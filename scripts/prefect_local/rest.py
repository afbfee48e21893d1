"""Calls of Prefect's public REST API, which its pages and its client use as well."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from scripts.prefect_local.errors import RestError

PAGE = 200
"""The most that the server gives at a time."""
BUSY = 503
"""What the server says while its SQLite is locked; nothing happened then."""
PATIENCE_SECONDS = 60.0


class Rest:
    """url: of the server, without `/api`."""

    def __init__(self, url: str) -> None:
        self._api = f"{url}/api"

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        return self._call("POST", path, {} if body is None else body)

    def patch(self, path: str, body: object) -> Any:
        return self._call("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, None)

    def all(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return every page of a list (`…/filter`)."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.post(path, {**body, "limit": PAGE, "offset": len(found)})
            found += page
            if len(page) < PAGE:
                return found

    def _call(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + PATIENCE_SECONDS
        request = urllib.request.Request(
            f"{self._api}/{path}", data=data, method=method, headers={"Content-Type": "application/json"}
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    text = reply.read().decode()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != BUSY or time.monotonic() > deadline:
                    raise RestError(error.code, error.read().decode(errors="replace")) from None
            time.sleep(0.5)
