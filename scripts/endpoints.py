"""Write `docs/endpoints.md` from the client's route table; `--check` fails when it is not up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from planasonix.client import ROUTES
from planasonix.client.routes import DEFAULT_PREFIXES as DEFAULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "endpoints.md"
HEAD = """# Endpoints that the client calls

Made from `planasonix.client.ROUTES` by `python -m scripts.endpoints`. *Keyed* requests carry an idempotency key. An
*assumed* route is documented nowhere. Each path can be replaced: `Planasonix(routes={"operation": "METHOD /path"})`.

| operation | method and path | reads into | keyed | source |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole text."""
    rows = [
        f"| `{route.operation}` | `{route.method} {DEFAULTS[route.family]}{route.path}` | {route.response or '—'} "
        f"| {'yes' if route.keyed else ''} | {'assumed' if route.assumed else route.source} |"
        for route in ROUTES.values()
    ]
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.write_text(page())
        return 0
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    print("docs/endpoints.md does not match the route table: run python -m scripts.endpoints")
    return 1


if __name__ == "__main__":
    sys.exit(main())
