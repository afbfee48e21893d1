"""The address of a run's page, as the setting `job_url_template` has it: none is published, so that users give it."""

from __future__ import annotations

import re

from planasonix.errors import ConfigurationError

NAMES = ("connection_id", "pipeline_id", "kind", "job_id", "id")
"""What may stand in braces."""
_PLACE = re.compile(r"\{(" + "|".join(NAMES) + r")\}")


def check_template(template: str | None) -> None:
    """Raises `ConfigurationError` for a template whose links would lead nowhere; None and "" are none."""
    if not template:
        return
    rest = _PLACE.sub("", template)
    if not template.startswith(("https://", "http://")):
        trouble = "must be an address that begins with https://"
    elif "{" in rest or "}" in rest:
        trouble = "has braces around something else than the names that it may have"
    else:
        return
    raise ConfigurationError(
        f"job_url_template {trouble}, got {template!r}.",
        field="job_url_template",
        hint=f"As in https://app.example.com/{{kind}}s/{{id}}; the names are {', '.join(NAMES)}.",
    )
