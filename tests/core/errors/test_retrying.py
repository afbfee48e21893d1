"""The table of `errors.retrying`: every error, and what becomes of its task."""

import inspect
import random

import pytest

import planasonix.errors
from planasonix.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    FeedbackLoopError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    NotPublishedError,
    OutcomeUnknownError,
    PagingError,
    PermissionDeniedError,
    PlanasonixError,
    RateLimitError,
    RunCancelledError,
    RunEndedError,
    RunFailedError,
    ServerError,
    SignatureError,
    TransportError,
    WaitTimeoutError,
    retry_advice,
)

FAILED = {"kind": "job", "run_id": "job_1", "outcome_data": {"error_code": "source_authentication_failed"}}
# (error, again, the shortest and the longest pause before the second try; None: the task's own)
TABLE = [
    (ConfigurationError("m"), False, None),
    (InvalidRequestError("m", status_code=422), False, None),
    (AuthenticationError("m", status_code=401), False, None),
    (PermissionDeniedError("m", status_code=403), False, None),
    (NotFoundError("m", status_code=404), False, None),
    (NotPublishedError("m", setting="routes"), False, None),
    (SignatureError("m"), False, None),
    (FeedbackLoopError("m"), False, None),
    (PagingError("m"), False, None),
    (RunCancelledError("m", kind="job", run_id="job_1"), False, None),
    (RunFailedError("m", **FAILED), True, None),
    (RunFailedError("m", retryable=False, **FAILED), False, None),
    (ConflictError("m", status_code=409), True, (60, 75)),
    (RateLimitError("m", status_code=429), True, (60, 75)),
    (RateLimitError("m", status_code=429, retry_after_seconds=3600.0), True, (3600, 4500)),
    (TransportError("m"), True, (30, 37.5)),
    (ServerError("m", status_code=503), True, (30, 37.5)),
    (ServerError("m", status_code=501), False, None),
    (APIError("m", status_code=408), True, (30, 37.5)),
    (APIError("m", status_code=405), False, None),
    (InvalidResponseError("m"), True, (30, 37.5)),
    (WaitTimeoutError("m"), True, None),
    (OutcomeUnknownError("m"), True, (300, 375)),
    (RunEndedError("m", kind="job", run_id="job_1"), True, None),
    (PlanasonixError("m"), True, None),
]


@pytest.mark.parametrize(("error", "again", "pause"), TABLE, ids=[f"{type(row[0]).__name__}-{row[1]}" for row in TABLE])
def test_the_table(error: PlanasonixError, again: bool, pause: tuple[float, float] | None) -> None:
    advice = retry_advice(error)
    assert advice is not None
    assert advice.again is again
    assert advice.reason.startswith(type(error).__name__)
    assert "\n" not in advice.reason
    if pause is None:
        assert advice.delay_seconds is None
    else:
        assert pause[0] <= advice.delay_seconds <= pause[1]


def test_every_class_has_its_row() -> None:
    known = {
        member
        for _, member in inspect.getmembers(planasonix.errors, inspect.isclass)
        if issubclass(member, PlanasonixError)
    }
    assert known == {type(error) for error, _, _ in TABLE}


def test_an_error_of_somebody_else_is_not_judged() -> None:
    assert retry_advice(ValueError("no")) is None


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("m"),
        AuthenticationError("m", status_code=401),
        PermissionDeniedError("m", status_code=403),
        NotFoundError("m", status_code=404),
    ],
)
def test_a_refusal_that_leaves_a_run_behind_is_no_reason_to_leave_it_for_good(error: PlanasonixError) -> None:
    error.run_goes_on = True
    advice = retry_advice(error)
    assert advice is not None
    assert advice.again
    assert 300 <= advice.delay_seconds <= 375
    assert "nobody waits for it" in advice.reason


def test_codes_that_never_heal_fail_at_once() -> None:
    error = RunFailedError("m", **FAILED)
    assert retry_advice(error, never_heal={"other"}).again
    advice = retry_advice(error, never_heal={"source_authentication_failed"})
    assert not advice.again
    assert "source_authentication_failed" in advice.reason


def test_pauses_grow_to_a_bound() -> None:
    error = TransportError("m")
    pauses = [
        retry_advice(error, try_number=number, rng=random.Random(1)).delay_seconds for number in (0, 1, 2, 3, 9, 4000)
    ]
    assert pauses[0] == pauses[1]
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-1] <= 750


def test_tasks_that_failed_together_come_back_apart() -> None:
    error = ServerError("m", status_code=503)
    assert len({retry_advice(error, rng=random.Random(seed)).delay_seconds for seed in range(20)}) == 20
