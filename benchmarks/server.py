"""A server in its own process that costs every client the same: each answer is made before the first request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

JOB: dict[str, Any] = {
    "id": "job_01jq8syncabc",
    "type": "connection_sync",
    "status": "running",
    "connection_id": "conn_01jq8k2m3n4p5q6r7s8t9u0v1",
    "pipeline_id": None,
    "created_at": "2026-03-28T10:05:00Z",
    "started_at": "2026-03-28T10:05:02Z",
    "finished_at": None,
    "metrics": {"rows_extracted": 12044, "rows_loaded": 12044, "bytes_read": 9234432},
    "metadata": {"triggered_by": "airflow", "dag_id": "nightly", "run_id": "scheduled__2026-03-28"},
}
QUEUED = {name: JOB[name] for name in ("id", "type", "connection_id", "created_at", "metadata")} | {"status": "queued"}
# What the peers' clients read, in their own shapes and of a like size.
MODEL = {"id": "some-model", "object": "model", "created": 1_700_000_000, "owned_by": "somebody"}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "some-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}
CUSTOMER = {
    "id": "cus_1",
    "object": "customer",
    "created": 1_700_000_000,
    "currency": "eur",
    "email": None,
    "livemode": False,
    "metadata": {"triggered_by": "airflow", "dag_id": "nightly", "run_id": "scheduled__2026-03-28"},
    "name": "somebody",
}

BODIES: dict[str, Any] = {
    f"GET /api/v1/jobs/{JOB['id']}": {"data": {"job": JOB}},
    f"POST /api/v1/connections/{JOB['connection_id']}/sync": {"data": {"job": QUEUED}},
    f"GET /v1/models/{MODEL['id']}": MODEL,
    "POST /v1/chat/completions": COMPLETION,
    f"GET /v1/customers/{CUSTOMER['id']}": CUSTOMER,
    "POST /v1/customers": CUSTOMER,
}


def _answer(body: bytes, status: str = "200 OK") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ndate: Sat, 28 Mar 2026 10:05:00 GMT\r\nserver: fixed\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: req_01jq8bench\r\n\r\n"
    )
    return head.encode() + body


ANSWERS = {line.encode(): _answer(json.dumps(body).encode()) for line, body in BODIES.items()}
NOT_FOUND = _answer(b"{}", "404 Not Found")


class Fixed(asyncio.Protocol):
    """HTTP/1.1 as far as well-behaved clients on loopback speak it: one request at a time, bodies with a length."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        _, named, rest = head.lower().partition(b"\r\ncontent-length:")
        if named and len(body) < int(rest.partition(b"\r\n")[0]):
            return
        self._received = b""
        line = head.partition(b" HTTP/1.1")[0]
        self._transport.write(ANSWERS.get(line, NOT_FOUND))


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The base URL of a running server, which ends with the block."""
    program = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("the benchmarks' server did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Fixed, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with the process that started it, however that one ends.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
