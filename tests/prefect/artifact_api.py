"""The part of Prefect's API that artifacts need, over real HTTP, with the faults that a server may have."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_CSRF_SUPPORT_ENABLED, temporary_settings


class ArtifactApi:
    """`artifacts` by id, `calls` as (method, path without the id, body). Faults: `status` for every answer but 200,
    `delay_seconds` before it.
    """

    def __init__(self) -> None:
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.status: int | None = None
        self.delay_seconds = 0.0
        self.connections = 0
        self.url = ""

    def of(self, role: str) -> list[dict[str, Any]]:
        """The artifacts whose key says so, oldest first."""
        return [each for each in self.artifacts.values() if each["key"].startswith(f"planasonix-{role}-")]

    def writes(self, role: str) -> list[dict[str, Any]]:
        """All that was written to them, one entry a call."""
        ids = {each["id"] for each in self.of(role)}
        return [
            body
            for method, _, body in self.calls
            if body.get("artifact_id") in ids or (method == "POST" and body.get("id") in ids)
        ]

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        time.sleep(self.delay_seconds)
        if self.status is not None:
            return self.status, {"detail": "no"}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if path == "/api/artifacts/" and method == "POST":
            made = {"id": str(uuid.uuid4()), "created": now, "updated": now, **body}
            self.artifacts[made["id"]] = made
            body["id"] = made["id"]
            return 201, made
        if path == "/api/artifacts/filter":
            wanted = body["artifacts"]
            found = [
                each
                for each in self.artifacts.values()
                if each["key"] in wanted["key"]["any_"] and each["flow_run_id"] in wanted["flow_run_id"]["any_"]
            ]
            return 200, found[::-1][: body["limit"]]
        if method == "PATCH":
            artifact_id = path.rsplit("/", 1)[1]
            self.artifacts[artifact_id].update(body)
            body["artifact_id"] = artifact_id
            return 204, None
        return 404, {"detail": "not here"}


@contextlib.contextmanager
def artifact_api() -> Iterator[ArtifactApi]:
    """A server in a thread; Prefect's settings point to it meanwhile."""
    api = ArtifactApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            api.connections += 1
            super().setup()

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else {}
            status, answer = api.answer(self.command, self.path, body)
            api.calls.append((self.command, self.path, body))
            data = b"" if answer is None else json.dumps(answer).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_PATCH = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_port}/api"
    try:
        with temporary_settings({PREFECT_API_URL: api.url, PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False}):
            yield api
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def in_flow_run(**values: Any) -> Iterator[FlowRun]:
    """The context of a flow run, without an engine that runs it."""
    flow_run = FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="quiet-whale", **values)
    with FlowRunContext.model_construct(flow_run=flow_run):
        yield flow_run
