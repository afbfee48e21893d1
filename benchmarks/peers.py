"""Two well-known clients of other APIs, each with one read and one write of its own, against the same server.

openai's is built on httpx, as ours is. stripe's uses requests where it blocks and httpx where it does not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import openai
import stripe

from benchmarks.blocks import Block
from benchmarks.calls import IDEMPOTENCY_KEY, METADATA, arepeated, repeated
from benchmarks.server import CUSTOMER, MODEL

# Neither is a key, but each client wants one of its own form.
OPENAI_KEY = "no-key"
STRIPE_KEY = "sk_test_no_key"

COMPLETION: dict[str, Any] = {
    "model": MODEL["id"],
    "messages": [{"role": "user", "content": "yes?"}],
    "extra_headers": {"Idempotency-Key": IDEMPOTENCY_KEY},
}
CUSTOMER_ID: str = CUSTOMER["id"]
NEW_CUSTOMER: dict[str, Any] = {"name": "somebody", "metadata": METADATA}
OPTIONS: dict[str, Any] = {"idempotency_key": IDEMPOTENCY_KEY}


@contextmanager
def sync_peers(url: str) -> Iterator[dict[str, Block]]:
    """`openai get`, `openai start`, `stripe get`, `stripe start`."""
    customers = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": url}).v1.customers
    with openai.OpenAI(api_key=OPENAI_KEY, base_url=f"{url}/v1") as client:
        yield {
            "openai get": repeated(lambda: client.models.retrieve(MODEL["id"])),
            "openai start": repeated(lambda: client.chat.completions.create(**COMPLETION)),
            "stripe get": repeated(lambda: customers.retrieve(CUSTOMER_ID)),
            "stripe start": repeated(lambda: customers.create(NEW_CUSTOMER, OPTIONS)),  # type: ignore[arg-type]
        }


@asynccontextmanager
async def async_peers(url: str, run: Callable[[Awaitable[None]], None]) -> AsyncIterator[dict[str, Block]]:
    """The same four, each block run by `run` on one event loop."""
    http = stripe.HTTPXClient()
    customers = stripe.StripeClient(STRIPE_KEY, base_addresses={"api": url}, http_client=http).v1.customers
    async with openai.AsyncOpenAI(api_key=OPENAI_KEY, base_url=f"{url}/v1") as client:
        yield {
            "openai get": arepeated(lambda: client.models.retrieve(MODEL["id"]), run),
            "openai start": arepeated(lambda: client.chat.completions.create(**COMPLETION), run),
            "stripe get": arepeated(lambda: customers.retrieve_async(CUSTOMER_ID), run),
            "stripe start": arepeated(lambda: customers.create_async(NEW_CUSTOMER, OPTIONS), run),  # type: ignore[arg-type]
        }
    await http.close_async()
