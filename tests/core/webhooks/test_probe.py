from __future__ import annotations

from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.sandbox import DEFAULT_API_KEY, Sandbox
from planasonix.webhooks.probe import ProbeFailed, probe


@pytest.mark.parametrize(
    ("switches", "scheme"),
    [
        ({"signature_scheme": "timestamped"}, "timestamped"),
        ({"signature_encoding": "base64"}, "body"),
        ({"signature_prefix": "sha256="}, "body"),
    ],
)
def test_it_finds_the_scheme_and_leaves_nothing_behind(switches: dict[str, Any], scheme: str) -> None:
    sandbox = Sandbox("strict", **switches)
    with sandbox.serve(), Planasonix(DEFAULT_API_KEY, transport=sandbox.transport()) as client:
        assert probe(client).scheme == scheme
        assert list(client.webhooks.list()) == []


def test_nothing_that_arrives_is_told_as_such() -> None:
    with Planasonix(DEFAULT_API_KEY, transport=Sandbox("strict").transport()) as client:
        with pytest.raises(ProbeFailed, match="arrived"):
            probe(client, url="http://203.0.113.9/planasonix/webhooks", timeout_seconds=0.2)
        assert list(client.webhooks.list()) == []
