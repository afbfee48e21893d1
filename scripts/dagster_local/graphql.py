"""Calls of the webserver's GraphQL, the same that its pages send."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from scripts.dagster_local.errors import GraphQLError


class GraphQL:
    """base_url: of the webserver. timeout_seconds: of each call; the first one of a code location takes long."""

    def __init__(self, base_url: str, timeout_seconds: float = 60.0) -> None:
        self.base_url = base_url
        self._timeout_seconds = timeout_seconds

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the `data` of the answer.

        Raises GraphQLError for an answer with errors, OSError when the server cannot be reached.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.base_url}/graphql", data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as reply:
                answer = json.loads(reply.read())
        except urllib.error.HTTPError as error:
            raise GraphQLError(f"HTTP {error.code}: {error.read().decode(errors='replace')[:2000]}") from None
        if answer.get("errors"):
            raise GraphQLError(json.dumps(answer["errors"])[:2000])
        return answer["data"]

    def act(self, query: str, *wanted: str, **variables: Any) -> dict[str, Any]:
        """Call a mutation whose only field is a union; return the member if its type is one of `wanted`.

        Raises GraphQLError with the member's text otherwise.
        """
        [found] = self.ask(query, **variables).values()
        if found["__typename"] not in wanted:
            raise GraphQLError(json.dumps(found)[:4000])
        return found


def tags_of(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Return tags as GraphQL takes them."""
    return [{"key": key, "value": value} for key, value in (tags or {}).items()]


def path_of(asset_key: str) -> dict[str, list[str]]:
    """Return an asset key as GraphQL takes it; its parts are divided by slashes, as on Dagster's pages."""
    return {"path": asset_key.split("/")}
