"""Whether what was seen is what was expected."""

from __future__ import annotations

from tests.scenarios.play import Seen
from tests.scenarios.scenario import Expected


def differences(expected: Expected, seen: Seen) -> list[str]:
    """One sentence for each thing that is not as expected."""
    pairs = {
        "starts": (expected.starts, seen.starts),
        "cancels": (expected.cancels, seen.cancels),
        "jobs": (expected.jobs, seen.jobs),
        "task": (expected.task, seen.task),
        "tries": (expected.tries, seen.tries),
    }
    found = [f"{name}: {is_} instead of {should}" for name, (should, is_) in pairs.items() if should != is_]
    if not seen.by <= set(expected.by):
        found.append(f"cancelled by {', '.join(sorted(seen.by))} instead of {' or '.join(expected.by)}")
    return [*found, *seen.wrong]
