"""The command line: `planasonix <command>`. Commands are imported when they are called, not before."""

from __future__ import annotations

import sys

__all__ = ["main"]

# What a command needs beyond click, with what brings click too: nobody shall have to install twice.
_EXTRAS = {"sandbox": "sandbox", "webhooks": "cli,webhooks", "inbox": "cli,webhooks"}


def main() -> None:
    """Entry point of the script `planasonix`."""
    try:
        from .group import planasonix
    except ModuleNotFoundError as exc:
        if exc.name != "click":
            raise
        extra = next((_EXTRAS[word] for word in sys.argv[1:] if word in _EXTRAS), "cli")
        sys.exit(f"The command line needs an extra: pip install 'planasonix[{extra}]'")
    planasonix.main(prog_name="planasonix")
