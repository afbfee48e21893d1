"""What a status word means for whoever waits. No import of pydantic, so that a waiter can be cheap.

Source of the words: facts §4.1, and contradictions C1 and C15.
"""

from typing import Literal

Phase = Literal["active", "cancelling", "succeeded", "failed", "cancelled"]
RunKind = Literal["job", "backfill", "pipeline_run"]

TERMINAL_PHASES: frozenset[Phase] = frozenset({"succeeded", "failed", "cancelled"})

_WORDS: dict[Phase, tuple[str, ...]] = {
    "succeeded": ("succeeded", "completed", "success"),
    "cancelled": ("cancelled", "canceled"),
    "cancelling": ("cancelling", "canceling", "cancel_requested"),
    # A run that loaded only a part, or nothing because it was skipped, did not do what was asked of it.
    "failed": ("failed", "error", "errored", "partial", "timeout", "timed_out", "skipped"),
    "active": ("queued", "pending", "running", "starting", "created", "accepted", "scheduled", "in_progress"),
}
_PHASE_BY_WORD: dict[str, Phase] = {word: phase for phase, words in _WORDS.items() for word in words}


def phase_of(status: str | None, *, ended: bool, kind: RunKind = "job") -> Phase:
    """Returns what a status means: only a known word of success is success.

    Parameters: `status`, the server's word, in any case, or None if it sent none; `ended`, whether it also
    sent a time of the end; `kind`, what runs. A word that nobody published counts as active, since the run
    may go on, unless it came with an end: then it failed. No end is documented for a backfill, so that one is
    ignored there.
    """
    if status is not None:
        phase = _PHASE_BY_WORD.get(status) or _PHASE_BY_WORD.get(status.strip().lower())
        if phase:
            return phase
    return "failed" if ended and kind != "backfill" else "active"


def is_known_status(status: str | None) -> bool:
    """Whether `phase_of` decides by the word itself."""
    return status is not None and status.strip().lower() in _PHASE_BY_WORD
