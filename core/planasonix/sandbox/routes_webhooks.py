"""Webhook subscriptions and the OpenAPI document."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Any

from . import seeding
from .calls import Call, Route
from .clock import to_text
from .deliveries import MAX_ROWS, Delivery
from .reading import choice, flag, json_object, not_found, text, texts, web_address
from .replies import Answer, invalid
from .samples import keys_of, project
from .webhooks import EVENTS, Webhook

_ALL, _ONE = "/api/v1/webhooks", "/api/v1/webhooks/{id}"
_ROW = keys_of("GET", _ALL, "data", 0)
_CREATED = keys_of("POST", _ALL, "data")
_DETAILS = keys_of("GET", _ONE, "data")
_UPDATED = keys_of("PUT", _ONE, "data")
_ROTATED = keys_of("POST", f"{_ONE}/rotate-secret", "data")
_DELIVERED = keys_of("GET", f"{_ONE}/deliveries", "data", 0)
_FAILED = keys_of("GET", f"{_ONE}/deliveries", "data", 1)
SCOPE = "admin:organization"


def _find(call: Call) -> Webhook:
    hook = call.state.webhooks.by_id.get(call.params["id"])
    if hook is None:
        raise not_found("webhook", call.params["id"])
    return hook


def _view(hook: Webhook, now: float, keys: tuple[str, ...]) -> dict[str, Any]:
    values = {
        "id": hook.id,
        "url": hook.url,
        "events": list(hook.events),
        "enabled": hook.enabled,
        "signing_secret": hook.secret,
        "created_at": to_text(hook.created),
        "updated_at": to_text(hook.updated),
        "rotated_at": to_text(now),
        "last_delivery_at": to_text(hook.last_delivery),
        "failure_count_24h": hook.failure_count_24h(now),
    }
    return {"data": project(values, keys)}


def _events(body: dict[str, Any], *, required: bool) -> list[str] | None:
    events = texts(body, "events", required=required)
    for event in events or ():
        if event not in EVENTS:
            raise invalid("events", "unknown_value", f"events may name {', '.join(EVENTS)}")
    return None if events is None else list(dict.fromkeys(events))


def _new_secret(call: Call, hook_id: str, count: int) -> str:
    drawn = f"{seeding.number(call.state.seed, 'secret', hook_id, count)}"
    return "whsec_" + hashlib.sha256(drawn.encode()).hexdigest()[:32]


def list_all(call: Call) -> Answer:
    hooks = call.state.webhooks.by_id.values()
    return Answer(200, {"data": [_view(hook, call.state.now, _ROW)["data"] for hook in hooks]})


def create(call: Call) -> Answer:
    state = call.state
    body = json_object(call.body)
    url = web_address(body, "url", required=True) or ""
    events = _events(body, required=True) or []
    secret = text(body, "secret")
    hook_id = state.ids.new("wh")
    hook = Webhook(hook_id, url, events, secret or _new_secret(call, hook_id, 0), state.now)
    state.webhooks.by_id[hook_id] = hook
    return Answer(201, _view(hook, state.now, _CREATED), {"webhook_created": hook_id})


def get(call: Call) -> Answer:
    return Answer(200, _view(_find(call), call.state.now, _DETAILS))


def update(call: Call) -> Answer:
    """Fields that are left out stay as they are; full or partial replacement is not documented."""
    hook, state = _find(call), call.state
    body = json_object(call.body)
    url, events = web_address(body, "url", required=False), _events(body, required=False)
    enabled = flag(body, "enabled")
    hook.url = url or hook.url
    hook.events = events or hook.events
    hook.enabled = hook.enabled if enabled is None else enabled
    hook.updated = state.now
    return Answer(200, _view(hook, state.now, _UPDATED), {"webhook_updated": hook.id})


def delete(call: Call) -> Answer:
    hook = _find(call)
    del call.state.webhooks.by_id[hook.id]
    return Answer(204, None, {"webhook_deleted": hook.id})


def rotate_secret(call: Call) -> Answer:
    hook, state = _find(call), call.state
    # The old secret keeps its place in the count, so that each rotation gives a new one.
    hook.rotations += 1
    hook.secret = _new_secret(call, hook.id, hook.rotations)
    return Answer(200, _view(hook, state.now, _ROTATED), {"secret_rotated": hook.id})


def send_test(call: Call) -> Answer:
    hook = _find(call)
    body = json_object(call.body, required=False)
    event = choice(body, "event", EVENTS) or EVENTS[0]
    delivery = call.state.deliveries.send_test(hook, event)
    data = {"delivery_id": delivery.id, "status": delivery.status}
    return Answer(202, {"data": data}, {"delivery_queued": delivery.id})


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    values = {
        "id": delivery.id,
        "event": delivery.event,
        "status": delivery.status,
        "http_status": delivery.http_status,
        "attempt": delivery.attempt,
        "delivered_at": to_text(delivery.delivered),
        "last_error": delivery.last_error,
    }
    return project(values, _FAILED if delivery.status == "failed" else _DELIVERED)


def deliveries(call: Call) -> Answer:
    hook = _find(call)
    newest = call.state.deliveries.by_webhook.get(hook.id, [])[-MAX_ROWS:][::-1]
    return Answer(200, {"data": [delivery_row(each) for each in newest]})


@lru_cache(maxsize=1)
def openapi_document() -> bytes:
    return files("planasonix.sandbox").joinpath("openapi.yaml").read_bytes()


def openapi(call: Call) -> Answer:
    return Answer(200, content=openapi_document(), content_type="application/yaml")


ROUTES = [
    Route("GET", _ALL, "webhooks.list", SCOPE, list_all),
    Route("POST", _ALL, "webhooks.create", SCOPE, create),
    Route("GET", _ONE, "webhooks.get", SCOPE, get),
    Route("PUT", _ONE, "webhooks.update", SCOPE, update),
    Route("DELETE", _ONE, "webhooks.delete", SCOPE, delete),
    Route("POST", f"{_ONE}/rotate-secret", "webhooks.rotate_secret", SCOPE, rotate_secret),
    Route("POST", f"{_ONE}/test", "webhooks.test", SCOPE, send_test),
    Route("GET", f"{_ONE}/deliveries", "webhooks.deliveries", SCOPE, deliveries),
    Route("GET", "/api/v1/openapi.yaml", "openapi", "pipelines:read", openapi),
]
