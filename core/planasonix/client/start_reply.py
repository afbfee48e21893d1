"""The answer to a start."""

from __future__ import annotations

from dataclasses import dataclass

from planasonix.models import Backfill, Job, PipelineRun


@dataclass(frozen=True, slots=True)
class StartReply:
    """The run that a start answered with, and how many tries it took.

    After more than one try, or under a key that was sent before, the answer may be the saved first one:
    only a GET of the run says what it is now.
    """

    run: Job | Backfill | PipelineRun
    attempts: int
