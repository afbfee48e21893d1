"""The classes: text, attributes, and the way through a pickle."""

import copy
import inspect
import pickle
import subprocess
import sys

import pytest

import planasonix.errors
from planasonix.errors import (
    APIError,
    Attempt,
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
)

ATTEMPTS = (Attempt(1743085330.0, 503, "Service Unavailable", "req_1", 0.5), Attempt(1743085331.0, None, "timed out"))
COMMON = {"hint": "Do this.", "request_id": "req_2", "attempts": ATTEMPTS}
API = {
    **COMMON,
    "code": "invalid_request",
    "details": [{"field": "tables", "issue": "blank"}],
    "existing_job_id": "job_1",
    "retry_after_seconds": 2.5,
    "operation": "connections.sync",
}
RUN = {"kind": "job", "run_id": "job_1", "status": "failed", "outcome_data": {"tables": [{"name": "a"}]}}
# One of each class, with every attribute filled: (error, retryable, outcome).
EVERY = [
    (PlanasonixError("m", **COMMON), False, None),
    (ConfigurationError("m", field="api_key", hint="Do this."), False, "not_sent"),
    (TransportError("m", outcome="not_sent", **COMMON), True, "not_sent"),
    (TransportError("m", **COMMON), True, "unknown"),
    (APIError("m", status_code=418, **API), False, "refused"),
    (APIError("m", status_code=408, **API), True, "refused"),
    (APIError("m", status_code=425, **API), True, "refused"),
    (InvalidRequestError("m", status_code=400, **API), False, "refused"),
    (AuthenticationError("m", status_code=401, **API), False, "refused"),
    (PermissionDeniedError("m", status_code=403, **API), False, "refused"),
    (NotFoundError("m", status_code=404, **API), False, "refused"),
    (ConflictError("m", status_code=409, **API), False, "refused"),
    (RateLimitError("m", status_code=429, **API), True, "refused"),
    (ServerError("m", status_code=503, **API), True, "unknown"),
    (ServerError("m", status_code=501, **API), False, "unknown"),
    (InvalidResponseError("m", field="id", **COMMON), False, "unknown"),
    (InvalidResponseError("m", retryable=True, **COMMON), True, "unknown"),
    (PagingError("m", **COMMON), False, None),
    (RunEndedError("m", **RUN, **COMMON), False, "applied"),
    (RunFailedError("m", **RUN, **COMMON), True, "applied"),
    (RunFailedError("m", retryable=False, **RUN, **COMMON), False, "applied"),
    (RunCancelledError("m", **RUN, **COMMON), False, "applied"),
    (WaitTimeoutError("m", pending=[{"kind": "job", "id": "job_1", "status": None}], **COMMON), True, "applied"),
    (OutcomeUnknownError("m", idempotency_key="key_1", **COMMON), False, "unknown"),
    (NotPublishedError("m", setting="routes", operation="syncs.pause", **COMMON), False, "refused"),
    (SignatureError("m", **COMMON), False, None),
    (FeedbackLoopError("m", **COMMON), False, "not_sent"),
]


def test_the_table_has_every_class():
    classes = {
        member
        for _, member in inspect.getmembers(planasonix.errors, inspect.isclass)
        if issubclass(member, PlanasonixError)
    }
    assert {type(error) for error, _, _ in EVERY} == classes


@pytest.mark.parametrize(("error", "retryable", "outcome"), EVERY)
def test_what_a_caller_may_do(error, retryable, outcome):
    assert (error.retryable, error.outcome) == (retryable, outcome)


@pytest.mark.parametrize("error", [error for error, _, _ in EVERY])
@pytest.mark.parametrize("twin_of", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_whole(error, twin_of):
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.args == error.args
    assert vars(twin) == vars(error)
    assert (twin.retryable, twin.outcome) == (error.retryable, error.outcome)


def test_a_subclass_with_arguments_of_its_own_survives_pickling_too():
    twin = pickle.loads(pickle.dumps(_Ours(7)))
    assert (type(twin), twin.number, twin.message) == (_Ours, 7, "number 7")


class _Ours(PlanasonixError):
    def __init__(self, number):
        super().__init__(f"number {number}")
        self.number = number


@pytest.mark.parametrize("error", [error for error, _, _ in EVERY])
def test_the_text_has_the_request_id_and_the_hint(error):
    first, last = str(error).splitlines()
    assert last == "Do this."
    assert "m" in first
    assert first.endswith("[request req_2]") or error.request_id is None


def test_the_text_of_an_answer():
    assert str(InvalidRequestError("No such table", status_code=400, **API)) == (
        "connections.sync: HTTP 400 invalid_request: No such table (tables: blank) [request req_2]\nDo this."
    )
    assert str(PlanasonixError("m")) == "m"


def test_tries_and_request_id_can_be_recorded_later():
    error = TransportError("m").with_attempts(ATTEMPTS, request_id="req_3")
    assert (error.attempts, error.request_id) == (ATTEMPTS, "req_3")
    assert error.with_attempts((), request_id="req_4").request_id == "req_3"


def test_the_public_path_is_the_one_that_is_stored():
    assert {type(error).__module__ for error, _, _ in EVERY} == {"planasonix.errors"}


def test_a_note_survives_pickling():
    error = PlanasonixError("m")
    error.add_note("seen by the operator")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["seen by the operator"]


def test_the_errors_are_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import planasonix.errors;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - {'planasonix'};"
        "assert new <= set(sys.stdlib_module_names), new"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
