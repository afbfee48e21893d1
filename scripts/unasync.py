"""Writes the blocking client from the async one: `python -m scripts.unasync [--check]`.

The async façade is the source; every line of it is copied with the replacements below. They are few and
plain, so that the result reads like hand-written code and tracebacks point at real lines. `--check` writes
nothing and fails if the committed result is not what the source gives. A rule that replaces nothing fails
too: it is a leftover or a typing error.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "core/planasonix/client/_async"
TARGET = ROOT / "core/planasonix/client/_sync"

RULES: tuple[tuple[str, str], ...] = (
    # An async generator cannot delegate to another one, a plain one should.
    (r"\bfor (\w+) in (.+):\n +yield \1\n", r"yield from \2\n"),
    (r"async (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\baclose\b", "close"),
    (r"\badrive\b", "drive"),
    (r"\bwait_shared\b", "wait_blocking"),
    (r"\bareplaced\b", "replaced"),
    (r" \(async client: it may be a coroutine function\)", ""),
    (r"\bAsync(?=[A-Z])(\w+)", r"\1"),
    (r"\bclient\._async\b", "client._sync"),
    (r"`send\(request, timeout_seconds\)` \(async client: `asend`\)", "`send(request, timeout_seconds)`"),
)

# The source's line breaks are kept, so that the result depends on no formatter.
BANNER = """\
# Generated from ../_async/{name} by scripts/unasync.py. Edit that file, then run "python -m scripts.unasync".
# fmt: off
"""


def translate(text: str, used: set[str]) -> str:
    """The blocking version of one module; notes in `used` which rules replaced something."""
    for pattern, replacement in RULES:
        text, count = re.subn(pattern, replacement, text)
        if count:
            used.add(pattern)
    return text


def generate() -> tuple[dict[Path, str], list[str]]:
    """What every generated file must contain, and the rules that were of no use."""
    used: set[str] = set()
    files: dict[Path, str] = {}
    for source in sorted(SOURCE.glob("*.py")):
        text = translate(source.read_text(encoding="utf-8"), used)
        files[TARGET / source.name] = (BANNER.format(name=source.name) + text) if text else text
    return files, [pattern for pattern, _ in RULES if pattern not in used]


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m scripts.unasync [--check]", file=sys.stderr)
        return 2
    files, unused = generate()
    for pattern in unused:
        print(f"this rule replaces nothing: {pattern}", file=sys.stderr)
    stale = sorted(set(TARGET.glob("*.py")) - set(files))
    wrong = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments == ["--check"]:
        for path in (*wrong, *stale):
            print(f"not what the source gives: {path.relative_to(ROOT)}", file=sys.stderr)
        return 1 if unused or wrong or stale else 0
    TARGET.mkdir(exist_ok=True)
    for path in stale:
        path.unlink()
    for path in wrong:
        path.write_text(files[path], encoding="utf-8")
    return 1 if unused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
