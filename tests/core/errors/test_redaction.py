"""No credential gets into an error, whoever wrote it there."""

import json
import pickle
import time
import traceback

import pytest

from planasonix.errors import (
    Attempt,
    ConfigurationError,
    RunFailedError,
    TransportError,
    error_from_reply,
    redact,
    redact_data,
)

CANARIES = [
    "plnx_live_c4n4ryCANARY",
    "plnx_rt_c4n4ryCANARY",
    "flx_c4n4ryCANARY",
    "plx_live_c4n4ryCANARY",
    "plx_test_c4n4ryCANARY",
    "whsec_c4n4ry+CANARY/==",
    "Bearer c4n4ryCANARY",
    "bearer c4n4ry.CANARY-x",
    "Authorization: Basic c4n4ryCANARY==",
    "Authorization: Token c4n4ryCANARY",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjNG40cnki.CANARY",
    "https://user:c4n4ryCANARY@db.example.com/x",
    "api_key=c4n4ryCANARY",
    "'password': 'c4n4ryCANARY'",
    "X-Planasonix-Key: c4n4ryCANARY",
    '{"signing_secret":"c4n4ryCANARY"}',
]


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("frame", ["{}", "the key {} is not known", "a,{},b", "({})", '"{}"', "x={}"])
def test_a_credential_is_masked_wherever_it_stands(canary, frame):
    assert "CANARY" not in redact(frame.format(canary))


@pytest.mark.parametrize(
    "text",
    [
        "Bearer token is missing",
        "bearer authentication required",
        "invalid token: expired",
        "password: authentication failed",
        "job_01jq8syncabc of conn_01jq8k2m3n4p5q6r7s8t9u0v1 failed",
        "cursor eyJiZiI6ImJmXzAxanE4YmZpbGwwMSJ9 has expired",
        "https://api.planasonix.com/api/v1/jobs?limit=100",
        "the Basic plan has no orchestration API",
        "complex_query in table flux_data",
    ],
)
def test_an_ordinary_text_stays_as_it_is(text):
    assert redact(text) == text


def test_a_key_of_any_form_is_masked_by_whoever_holds_it():
    assert redact("no such key: correct-horse", ["correct-horse"]) == "no such key: ***"
    # Too short to be a key: it would tear ordinary words apart.
    assert redact("a job", ["a", ""]) == "a job"


def test_data_is_masked_at_every_depth():
    assert redact_data({"a": [{"plnx_live_1": "flx_2"}, 3, None, ("whsec_4",)]}) == {
        "a": [{"plnx_***": "flx_***"}, 3, None, ["whsec_***"]]
    }


@pytest.mark.parametrize("canary", CANARIES)
def test_no_part_of_an_error_holds_what_the_server_quoted(canary):
    details = b'[{"field": "%s", "issue": "%s"}]'
    body = b'{"error": {"code": "%s", "message": "%s", "existing_job_id": "%s", "details": ' + details + b"}}"
    quoted = canary.replace('"', "'").encode()
    attempt = Attempt(0.0, 401, canary, canary)
    headers = {"X-Request-ID": canary, "Authorization": canary, "Set-Cookie": canary}
    error = error_from_reply(409, headers, body.replace(b"%s", quoted), attempts=[attempt], operation="jobs.get")
    assert_clean(error)


@pytest.mark.parametrize("canary", CANARIES)
def test_no_error_of_ours_holds_one_either(canary):
    for error in (
        ConfigurationError(f"cannot use {canary}", field="api_key", hint=f"not {canary}"),
        TransportError(canary, request_id=canary, attempts=[Attempt(0.0, error=canary)]).with_attempts(
            [Attempt(0.0, error=canary)], request_id=canary
        ),
        RunFailedError(canary, kind="job", run_id="job_1", outcome_data={"error": {"message": canary}}),
    ):
        assert_clean(error)


def test_the_key_of_the_call_is_masked_whatever_its_form():
    body = b'{"error": {"code": "unauthorized", "message": "unknown key c4n4ry.CANARY!"}}'
    error = error_from_reply(401, {}, body, secrets=["c4n4ry.CANARY!"])
    assert_clean(error)


def test_a_key_at_the_cut_of_a_long_message_is_masked_before_the_cut():
    message = b"x" * 980 + b" plnx_live_" + b"CANARY" * 20
    assert_clean(error_from_reply(400, {}, b'{"error": {"message": "%s"}}' % message))


@pytest.mark.parametrize("word", ["secret=", "-eyJaaaaaaaa", "Bearer ", "plnx_", "://a:"])
def test_a_hostile_text_is_masked_in_no_time(word):
    body = json.dumps({"error": {"message": word * 50_000, "code": word * 10_000}}).encode()
    started = time.process_time()
    error_from_reply(400, {}, body)
    assert time.process_time() - started < 2.0


def assert_clean(error):
    shown = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    assert "CANARY" not in "".join(shown)
    assert b"CANARY" not in pickle.dumps(error)
