"""What the commands that sweep have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Option = Callable[..., Any]

keep_days_option: Option = click.option(
    "--keep-days",
    metavar="DAYS",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0, max=36_500),
    help="By the sweep: once a day, events that arrived longer ago are removed; 0 keeps all.",
)


def interval_option(flag: str) -> Option:
    """Between two sweeps, in seconds; the command's parameter is `interval_seconds`."""
    return click.option(
        flag,
        "interval_seconds",
        metavar="SECONDS",
        default=60.0,
        show_default=True,
        type=click.FloatRange(min=0, min_open=True, max=86_400),
        help="Between two sweeps: so late an end is felt whose webhook was lost.",
    )
