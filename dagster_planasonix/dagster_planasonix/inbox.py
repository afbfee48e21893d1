"""Where the inbox of events is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import dagster as dg

from planasonix.errors import ConfigurationError

if TYPE_CHECKING:
    from dagster_planasonix.workspace import PlanasonixWorkspace

INBOX_URL = "PLANASONIX_INBOX_URL"


def inbox_url_of(workspace: PlanasonixWorkspace, given: str | dg.EnvVar | None = None) -> str | None:
    """The inbox's URL: the one that is given, else the workspace's, else the environment's; None without any.

    Read when it is needed, because the environment of whoever loads definitions need not have it. Raises
    `ConfigurationError` where an environment variable that is to hold it is not set.
    """
    if isinstance(given, dg.EnvVar):
        found = given.get_value()
        if not found:
            raise ConfigurationError(
                f"inbox_url is to come from the environment variable {given.env_var_name}, which is not set.",
                field="inbox_url",
                hint=f"Set {given.env_var_name} where this code location runs.",
            )
        return found
    return given or workspace.setting("inbox_url") or os.environ.get(INBOX_URL) or None
