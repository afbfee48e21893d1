"""The credentials that the environment has, for whoever finds no block that was saved."""

from __future__ import annotations

import os

from pydantic import SecretStr

from prefect_planasonix.credentials import PlanasonixCredentials


def credentials_of_environment() -> PlanasonixCredentials | None:
    """Those of PLANASONIX_API_KEY and, read by each client, PLANASONIX_BASE_URL; None where there is no key."""
    key = os.environ.get("PLANASONIX_API_KEY", "").strip()
    return PlanasonixCredentials(api_key=SecretStr(key)) if key else None
