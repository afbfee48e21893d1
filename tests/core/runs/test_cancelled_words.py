"""What is said of a cancel: a run that goes on, or that ended by itself, is not called cancelled."""

from __future__ import annotations

import pytest

from planasonix.runs.cancel import cancelled_words
from planasonix.watch.protocols import Kind


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("job", "cancelled", "was cancelled (it is cancelled)"),
        ("job", "cancelling", "was cancelled (it is cancelling)"),
        ("job", "running", "was cancelled (it is running)"),
        ("run", "succeeded", "had ended before it could be cancelled (it is succeeded)"),
        ("job", "failed", "had ended before it could be cancelled (it is failed)"),
        ("backfill", "running", "was asked to stop and is still running: look at it"),
        ("backfill", "cancelling", "was cancelled (it is cancelling)"),
    ],
)
def test_words(kind: Kind, status: str, words: str) -> None:
    assert cancelled_words(kind, status) == words
