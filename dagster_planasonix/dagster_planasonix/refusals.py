"""Errors that no retry mends, as the failure that Dagster does not retry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from planasonix.errors import PlanasonixError, retry_advice


@contextmanager
def failing_for_good() -> Iterator[None]:
    """Raise `dagster.Failure` without retries for an error which the next try would meet as well.

    A key that is refused, a missing right, a wrong parameter, an unknown connection: see `planasonix.errors.retrying`.
    Any other error passes as it is, and follows the op's `RetryPolicy`.
    """
    try:
        yield
    except PlanasonixError as error:
        advice = retry_advice(error, try_number=1)
        if advice is None or advice.again:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error
