"""What importing costs, measured by what gets loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("httpx", "httpcore", "pydantic", "pydantic_core", "anyio", "starlette", "sqlalchemy", "click", "rich")


def loaded(code):
    """The heavy packages that a fresh interpreter has loaded after `code`."""
    report = f"import sys, json; print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import planasonix",
        "import planasonix; planasonix.errors.PlanasonixError; planasonix.__version__; dir(planasonix)",
        "import planasonix.client, planasonix.engine, planasonix.errors",
        "from planasonix.client import ROUTES, ClientConfig",
    ],
)
def test_cheap_imports(code):
    assert loaded(code) == []


def test_a_client_that_has_not_called_yet_has_no_http_stack():
    assert "httpx" not in loaded("from planasonix import Planasonix; Planasonix('k')")


def test_public_names():
    import planasonix
    import planasonix.client

    for name in planasonix.__all__:
        assert getattr(planasonix, name) is not None
    for name in ("Page", "ROUTES", "StartReply", "CallOptions"):
        assert name in dir(planasonix.client)
        assert getattr(planasonix.client, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = planasonix.nonsense
    with pytest.raises(AttributeError, match="nonsense"):
        _ = planasonix.client.nonsense
