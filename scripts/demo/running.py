"""What the demos share: a folder that goes away, Ctrl-C that leaves nothing behind, errors told in one place."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from scripts.local.errors import LocalError

API_KEY = "plnx_live_demo"


def guarded(demo: Callable[[Console, Path], int]) -> int:
    """Run a demo with a console and a folder for logs; return its exit code, 1 after an error, 130 after Ctrl-C."""
    console = Console()
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        with tempfile.TemporaryDirectory(prefix="planasonix-demo-") as folder:
            return demo(console, Path(folder))
    except KeyboardInterrupt:
        console.print("[yellow]Stopped. Nothing is left running.[/]")
        return 130
    except (LocalError, TimeoutError) as error:
        console.print(f"[red]The demo did not come to its end:[/]\n{error}", markup=True, highlight=False)
        return 1


def _as_ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt
