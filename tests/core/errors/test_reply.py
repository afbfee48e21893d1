"""Every documented error answer, and those that no document describes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planasonix.errors import (
    APIError,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    error_from_reply,
    redact,
    request_id_of,
    retry_after_seconds_of,
)

DOCUMENTED = {
    "error": {
        "code": "invalid_request",
        "message": "Missing required field: connection_id",
        "details": [{"field": "connection_id", "issue": "blank"}],
    }
}


def reply(status, body, headers=None, **options):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from_reply(status, headers or {}, body, **options)


@pytest.mark.parametrize(
    ("status", "cls", "hint"),
    [
        (302, APIError, "base URL"),
        (400, InvalidRequestError, "field"),
        (401, AuthenticationError, "PLANASONIX_API_KEY"),
        (403, PermissionDeniedError, "Enterprise"),
        (404, NotFoundError, "another organization"),
        (405, APIError, "path prefixes"),
        (409, ConflictError, "present state"),
        (413, APIError, "larger"),
        (418, APIError, None),
        (422, InvalidRequestError, "field"),
        (429, RateLimitError, "webhooks"),
        (500, ServerError, "idempotency key"),
        (503, ServerError, "idempotency key"),
        (599, ServerError, "idempotency key"),
    ],
)
def test_each_status_has_its_class_and_says_what_to_do(status, cls, hint):
    error = reply(status, DOCUMENTED, operation="jobs.get")
    assert type(error) is cls
    assert (error.status_code, error.operation) == (status, "jobs.get")
    assert (error.code, error.message) == ("invalid_request", "Missing required field: connection_id")
    assert error.details == [{"field": "connection_id", "issue": "blank"}]
    assert hint is None or hint in (error.hint or "")
    assert "Missing required field: connection_id" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        # the Iceberg catalog
        (
            404,
            {"error": {"message": "No such table", "type": "NoSuchTableException", "code": 404}},
            "NoSuchTableException",
            "No such table",
        ),
        (404, {"error": {"message": "No such table", "code": 404}}, "404", "No such table"),
        # the device flow
        (
            400,
            {"error": "authorization_pending", "error_description": "Not yet confirmed"},
            "authorization_pending",
            "Not yet confirmed",
        ),
        (400, {"error": "authorization_pending"}, "authorization_pending", "authorization_pending"),
        # the MCP server
        (401, {"error": "invalid API key"}, None, "invalid API key"),
        # no document has these
        (400, {"message": "Bad window"}, None, "Bad window"),
        (400, {"code": "bad_window", "detail": "Bad window"}, "bad_window", "Bad window"),
        (400, {"error": {"code": "bad_window"}}, "bad_window", "bad_window"),
    ],
)
def test_each_envelope_is_read(status, body, code, message):
    error = reply(status, body)
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "A sync is already running", "existing_job_id": "job_1"},
        {"error": {"code": "conflict", "message": "busy", "existing_job_id": "job_1"}},
    ],
)
def test_a_conflict_may_name_the_job_in_the_way(body):
    error = reply(409, body, operation="connections.sync")
    assert error.existing_job_id == "job_1"
    assert "job_1" in (error.hint or "")


def test_a_conflict_on_results_means_not_yet():
    error = reply(409, {"error": {"code": "conflict", "message": "running"}}, operation="jobs.results")
    assert "not ended yet" in (error.hint or "")


@pytest.mark.parametrize(
    ("details", "read"),
    [
        ([{"field": "a", "issue": "blank"}, {"message": "too long"}, "why", 5, {}], 3),
        ({"start_at": "blank", "n": 5}, 1),
        ("blank", 0),
        (None, 0),
        ([{"field": f"f{i}", "issue": "x"} for i in range(1000)], 50),
    ],
)
def test_details_in_any_form(details, read):
    error = reply(400, {"error": {"message": "m", "details": details}})
    assert len(error.details) == read
    assert all(set(detail) == {"field", "issue"} for detail in error.details)


@pytest.mark.parametrize(
    ("body", "content_type", "note"),
    [
        (b"<html><h1>Bad gateway</h1></html>", "text/html; charset=utf-8", "(text/html, 33 bytes)"),
        (b"upstream timed out", "text/plain", "(text/plain, 18 bytes)"),
        (b'{"error": {"mess', "application/json", "(application/json, 16 bytes)"),
        (b"\xff\xfe\x00", None, "(no content type, 3 bytes)"),
        (b"[]", "application/json", "(application/json, 2 bytes)"),
        (b'{"ok": false}', "application/json", "(application/json, 13 bytes)"),
        (b'{"error": null}', "application/json", "(application/json, 15 bytes)"),
        (b"[" * 100_000, "application/json", "(application/json, 100000 bytes)"),
        (b'{"error": "' + b"x" * 2_000_000 + b'"}', "application/json", "(application/json, 2000013 bytes)"),
        (b"", None, "no body"),
    ],
)
def test_a_body_that_is_no_envelope_is_described_and_never_quoted(body, content_type, note):
    error = reply(502, body, {"Content-Type": content_type} if content_type else {})
    assert note in error.message
    assert len(str(error)) < 500
    assert "upstream" not in str(error)
    assert "<" not in str(error)


def test_a_long_message_is_cut_and_stays_on_one_line():
    error = reply(400, {"error": {"message": "a\n\x1b[31mb\u2028" + "x" * 5000}})
    assert len(error.message) == 1000
    assert error.message.isprintable()


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Request-Id", "x-request-id", "Request-Id", "request-id"])
def test_the_request_id_is_found_and_shown(name):
    error = reply(400, DOCUMENTED, {name: "req_1"})
    assert error.request_id == "req_1"
    assert "[request req_1]" in str(error)


@given(st.from_regex(r"(?:req_)?[A-Za-z0-9-]{1,128}", fullmatch=True))
def test_nothing_is_masked_in_a_plain_request_id(value):
    # So it need not be searched for credentials, which every answer would pay for.
    assert redact(value) == value
    assert request_id_of({"x-request-id": value}) == value


@pytest.mark.parametrize(
    ("value", "secrets", "shown"),
    [
        ("my-own-key-1", ("my-own-key-1",), "***"),
        ("req_my-own-key-1x", ("my-own-key-1",), "req_***x"),
        ("plnx_live_0123456789", (), "plnx_***"),
        ("a1 \n", (), "a1"),
        ("x" * 300, (), "x" * 197 + "..."),
    ],
)
def test_any_other_request_id_is_searched_for_secrets(value, secrets, shown):
    assert request_id_of({"x-request-id": value}, secrets) == shown


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, 1e9),
        # A date counts from the server's own clock, else from ours.
        ({"retry-after": "Thu, 27 Mar 2025 12:00:30 GMT", "Date": "Thu, 27 Mar 2025 12:00:00 GMT"}, 30.0),
        ({"retry-after": "Thu, 27 Mar 2025 12:00:00 GMT", "Date": "Thu, 27 Mar 2025 12:00:30 GMT"}, 0.0),
        ({"retry-after": "Thu, 27 Mar 2025 12:00:30 GMT", "Date": "broken"}, 10.0),
        ({"retry-after": "Thu, 27 Mar 2025 12:00:30 GMT"}, 10.0),
        ({"retry-after": "Thu, 99 Mar 2025 12:00:30 GMT"}, None),
    ],
)
def test_the_pause_that_the_server_asks_for(headers, seconds):
    now = 1743076820.0  # 2025-03-27 12:00:20 UTC
    assert retry_after_seconds_of(headers, now=now) == seconds
    assert reply(429, DOCUMENTED, headers, now=now).retry_after_seconds == seconds


@given(
    status=st.integers(300, 599),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Date", "X-Request-ID", "Content-Type"]), st.text()),
    body=st.binary() | st.builds(lambda data: json.dumps(data).encode(), st.dictionaries(st.text(), st.text())),
)
def test_no_answer_breaks_the_reader(status, headers, body):
    error = error_from_reply(status, headers, body)
    assert error.status_code == status
    assert str(error)
    assert error.retry_after_seconds is None or 0 <= error.retry_after_seconds <= 1e9
