"""One call of the API on its way through the sandbox, and the table that finds its handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from .reading import Query
from .replies import Answer, Refusal
from .state import State


@dataclass
class Call:
    """What a handler gets. `params` are the decoded `{…}` segments of the path."""

    state: State
    method: str
    path: str
    operation: str
    params: dict[str, str]
    query: Query
    headers: Mapping[str, str]
    body: bytes
    idempotency_key: str | None = None


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    """`operation` is attribute.method of the client façade; `scope` one of the published, illustrative scope names."""

    method: str
    path: str
    operation: str
    scope: str
    handler: Handler


class Router:
    def __init__(self, routes: list[Route]) -> None:
        self._by_length: dict[int, list[tuple[list[str], dict[str, Route]]]] = {}
        for route in routes:
            pattern = route.path.strip("/").split("/")
            group = self._by_length.setdefault(len(pattern), [])
            for known, methods in group:
                if known == pattern:
                    methods[route.method] = route
                    break
            else:
                group.append((pattern, {route.method: route}))
        for group in self._by_length.values():
            # Literal segments win over parameters: /connections/test is no connection named "test".
            group.sort(key=lambda entry: [segment.startswith("{") for segment in entry[0]])

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a request. Raises Refusal 404 or 405 (with `allow`)."""
        segments = path[1:].split("/")
        for pattern, methods in self._by_length.get(len(segments), ()):
            params: dict[str, str] = {}
            for expected, segment in zip(pattern, segments, strict=True):
                if expected.startswith("{"):
                    if not segment:
                        break
                    params[expected[1:-1]] = unquote(segment)
                elif expected != segment:
                    break
            else:
                if method in methods:
                    return methods[method], params
                names = ", ".join(sorted(methods))
                raise Refusal(405, f"{method} is not allowed here, only {names}", headers={"allow": names})
        raise Refusal(404, "No such route")
