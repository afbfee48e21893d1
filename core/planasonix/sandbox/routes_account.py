"""Whom the key belongs to."""

from __future__ import annotations

from . import samples
from .calls import Call, Route
from .replies import Answer


def organization(call: Call) -> Answer:
    """The documented one: the sandbox has no other, and its documents say of no header that it chooses one."""
    return Answer(200, samples.response(call.method, "/api/organization"))


ROUTES = [Route("GET", "/api/organization", "organization.get", "admin:organization", organization)]
