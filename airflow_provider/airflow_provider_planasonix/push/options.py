"""The section `[planasonix]` of Airflow's configuration: what it may hold, and how it is read.

Nothing of Airflow's is imported before an option is read: the table is also what Airflow itself reads about us.
"""

from __future__ import annotations

from typing import Any

from planasonix.errors import ConfigurationError

SECTION = "planasonix"
VERSION = "0.1.0"
DEFAULT_SCHEME = "timestamped"
DEFAULT_SWEEP_CONN_ID = "planasonix_default"
DEFAULT_SWEEP_SECONDS = 60.0
DEFAULT_MAX_EVENT_DEPTH = 3


def config_section() -> dict[str, Any]:
    """Returns the section as `get_provider_info` describes it."""
    return {
        SECTION: {
            "description": "Events of Planasonix: received, kept in an inbox, and felt by waiting tasks and watchers.",
            "options": {
                "inbox_url": _option(
                    "Where received events are kept: sqlite:////absolute/path.db where all of Airflow is on one "
                    "machine, else postgresql://user:password@host/database. Empty: no push, only polling.",
                    example="postgresql://airflow:***@db.example.com/planasonix",
                    sensitive=True,
                ),
                "webhook_secrets": _option(
                    "What deliveries are signed with, separated by commas, the newest first.", sensitive=True
                ),
                "webhook_secrets_file": _option(
                    "The same in a file, one a line, which is read again when it changes. Goes before webhook_secrets.",
                    example="/run/secrets/planasonix-webhooks",
                ),
                "webhook_scheme": _option(
                    "What a signature covers: 'timestamped' or 'body'. `planasonix webhooks probe` finds it.",
                    default=DEFAULT_SCHEME,
                ),
                "sweep_conn_id": _option(
                    "The Airflow connection by which a triggerer looks for what no webhook brought. Empty: no sweep.",
                    default=DEFAULT_SWEEP_CONN_ID,
                ),
                "sweep_interval_seconds": _option(
                    "The pause between two sweeps: so late an end is felt whose webhook was lost.",
                    kind="float",
                    default=str(DEFAULT_SWEEP_SECONDS),
                ),
                "max_event_depth": _option(
                    "How many runs in a row events may start, before the next one fails.",
                    kind="integer",
                    default=str(DEFAULT_MAX_EVENT_DEPTH),
                ),
            },
        }
    }


def inbox_url() -> str | None:
    """Where the inbox is; None: push is off. May hold a password."""
    return text("inbox_url") or None


def text(name: str, default: str = "") -> str:
    """An option's words without blanks around them."""
    from airflow_provider_planasonix._compat import option

    return option(SECTION, name, default).strip()


def number(name: str, default: float, *, least: float) -> float:
    """An option that is a number. Raises `ConfigurationError`, which names it."""
    told = text(name)
    try:
        value = float(told) if told else default
    except ValueError:
        value = float("nan")
    if not least <= value < float("inf"):
        raise ConfigurationError(f"[{SECTION}] {name} must be a number of {least:g} or more, got {told!r}.", field=name)
    return value


def _option(
    description: str, *, default: str = "", kind: str = "string", example: str | None = None, sensitive: bool = False
) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": VERSION,
        "type": kind,
        "example": example,
        "default": default,
        "sensitive": sensitive,
    }
