"""The command line: `planasonix <command>`. Commands are imported when they are called, not before."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the script `planasonix`."""
    try:
        from .group import planasonix
    except ModuleNotFoundError as exc:
        if exc.name != "click":
            raise
        sys.exit("The command line needs an extra: pip install 'planasonix[cli]'")
    planasonix.main(prog_name="planasonix")
