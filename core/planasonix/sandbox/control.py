"""The control API under `/sandbox/`: the same handles over HTTP, without an API key.

`GET /sandbox/` lists its routes, each with a line and a body that works; so does the 404 of an unknown one. The table
itself is `control_routes.CONTROL_ROUTES`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .control_routes import CONTROL_ROUTES, Asked, ControlRoute
from .replies import Answer, Refusal, SandboxReply, encode

if TYPE_CHECKING:
    from .core import Sandbox


def handle(sandbox: Sandbox, method: str, path: str, query: dict[str, str], body: bytes) -> SandboxReply:
    segments = path.strip("/").split("/")
    if method == "GET" and segments == ["sandbox"]:
        return encode(_listing(200, {}))
    found = _find(method, segments)
    if found is None:
        refusal = Refusal(404, f"No such control route: {method} {unquote(path)}")
        return encode(_listing(404, refusal.answer().body))
    route, params = found
    try:
        options = json.loads(body) if body.strip() else {}
        if not isinstance(options, dict):
            raise ValueError("the body must be a JSON object")
        return encode(Answer(200, route.act(Asked(sandbox, params, query, options))))
    except (ValueError, TypeError) as exc:
        return encode(Refusal(400, str(exc)).answer())
    except KeyError as exc:
        return encode(Refusal(404, f"Unknown: {exc.args[0]}").answer())


def _find(method: str, segments: list[str]) -> tuple[ControlRoute, dict[str, str]] | None:
    for route in CONTROL_ROUTES:
        pattern = route.path.strip("/").split("/")
        if route.method != method or len(pattern) != len(segments):
            continue
        pairs = list(zip(pattern, segments, strict=True))
        if all(expected.startswith("{") or expected == segment for expected, segment in pairs):
            return route, {expected[1:-1]: unquote(segment) for expected, segment in pairs if expected.startswith("{")}
    return None


def _listing(status: int, head: dict[str, Any]) -> Answer:
    """`head` with the routes below it, indented: whoever asks reads it in a terminal."""
    body = head | {"routes": [route.described() for route in CONTROL_ROUTES]}
    return Answer(status, content=json.dumps(body, indent=1).encode() + b"\n")
