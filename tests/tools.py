"""Where the programs stand that tests call and no environment of theirs holds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".venvs/.tools/bin/uv")
"""The Makefile fetches it where a machine has none, and says where."""
