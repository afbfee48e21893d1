"""Request bodies: strict, documented fields only, and mistakes told in our own words."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from planasonix.errors import ConfigurationError
from planasonix.models import (
    BackfillRequestBody,
    SyncRequestBody,
    WebhookCreateBody,
    WebhookTestBody,
    WebhookUpdateBody,
)

WINDOW = {"start_at": datetime(2025, 1, 1, tzinfo=UTC), "end_at": datetime(2025, 3, 1, tzinfo=UTC)}
NAIVE = WINDOW["start_at"].replace(tzinfo=None)
HOOK = {"url": "https://hooks.example.com/planasonix", "events": ["job.succeeded"]}


def test_what_is_not_set_is_not_sent():
    assert SyncRequestBody().to_bytes() == b"{}"
    assert WebhookTestBody(event=None).to_bytes() == b"{}"
    assert BackfillRequestBody(**WINDOW, tables=None, priority=None).to_wire() == {
        "start_at": "2025-01-01T00:00:00Z",
        "end_at": "2025-03-01T00:00:00Z",
    }


def test_a_null_inside_the_metadata_is_sent():
    assert SyncRequestBody(metadata={"partition": None}).to_wire() == {"metadata": {"partition": None}}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2025, 1, 1, tzinfo=UTC), "2025-01-01T00:00:00Z"),
        (datetime(2025, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2025-01-01T00:00:00Z"),
        (datetime(2025, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "2025-01-01T00:00:00Z"),
        (datetime(2025, 1, 1, 0, 0, 0, 500000, tzinfo=UTC), "2025-01-01T00:00:00.500000Z"),
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        (" 2025-01-01T05:30:00+05:30 ", "2025-01-01T00:00:00Z"),
    ],
)
def test_times_go_out_in_utc(value, sent):
    body = BackfillRequestBody(start_at=value, end_at=WINDOW["end_at"])
    assert json.loads(body.to_bytes())["start_at"] == sent


def test_a_window_over_the_hour_that_comes_twice_is_a_window():
    berlin = ZoneInfo("Europe/Berlin")
    body = BackfillRequestBody(
        start_at=datetime(2025, 10, 26, 2, 30, tzinfo=berlin, fold=0),
        end_at=datetime(2025, 10, 26, 2, 15, tzinfo=berlin, fold=1),
    )
    assert body.to_wire() == {"start_at": "2025-10-26T00:30:00Z", "end_at": "2025-10-26T01:15:00Z"}


def test_the_same_fields_are_the_same_bytes():
    one = SyncRequestBody(pipeline_id="pl_1", metadata={"a": 1, "b": {"c": "é", "d": 2}})
    two = SyncRequestBody(metadata={"b": {"d": 2, "c": "é"}, "a": 1}, pipeline_id="pl_1")
    assert one.to_bytes() == two.to_bytes()


@pytest.mark.parametrize(
    ("build", "field", "says", "fix"),
    [
        (
            lambda: BackfillRequestBody(**{**WINDOW, "start_at": NAIVE}),
            "start_at",
            "no time zone",
            "aware",
        ),
        (lambda: BackfillRequestBody(**{**WINDOW, "end_at": "2025-03-01T00:00:00"}), "end_at", "no time zone", "aware"),
        (lambda: BackfillRequestBody(**{**WINDOW, "end_at": "soon"}), "end_at", "ISO 8601", "aware"),
        (lambda: BackfillRequestBody(**{**WINDOW, "start_at": date(2025, 1, 1)}), "start_at", "time of day", "aware"),
        (lambda: BackfillRequestBody(**{**WINDOW, "start_at": None}), "start_at", "time of day", "aware"),
        (lambda: BackfillRequestBody(**{**WINDOW, "start_at": WINDOW["end_at"]}), "end_at", "after start_at", "window"),
        (lambda: BackfillRequestBody(start_at=WINDOW["start_at"]), "end_at", "missing", "aware"),
        (lambda: BackfillRequestBody(**WINDOW, tables=[]), "tables", "empty", "None for all"),
        (lambda: BackfillRequestBody(**WINDOW, tables="public.orders"), "tables", "list", "public.orders"),
        (lambda: BackfillRequestBody(**WINDOW, tables=["a", ""]), "tables", "does not fit", "public.orders"),
        (lambda: BackfillRequestBody(**WINDOW, overlap="skip"), "overlap", "not documented", "Leave it out"),
        (lambda: SyncRequestBody(sync_type="full"), "sync_type", "not documented", "Leave it out"),
        (lambda: SyncRequestBody(idempotency_key="k"), "idempotency_key", "not documented", "Leave it out"),
        (lambda: SyncRequestBody(metadata={"at": datetime.now(UTC)}), "metadata", "JSON", "dictionary"),
        (lambda: SyncRequestBody(metadata={"x": float("nan")}), "metadata", "JSON", "dictionary"),
        (lambda: SyncRequestBody(metadata=["a"]), "metadata", "dictionary", "dictionary"),
        (lambda: SyncRequestBody(priority=" "), "priority", "does not fit", "normal"),
        (lambda: SyncRequestBody.model_validate({"full": True}), "full", "not documented", "Leave it out"),
        (lambda: WebhookCreateBody(**{**HOOK, "url": "hooks.example.com"}), "url", "absolute", "https://"),
        (lambda: WebhookCreateBody(**{**HOOK, "url": "file:///etc/passwd"}), "url", "absolute", "https://"),
        (lambda: WebhookCreateBody(**{**HOOK, "url": "http://[broken"}), "url", "does not fit", "https://"),
        (lambda: WebhookCreateBody(**{**HOOK, "events": []}), "events", "at least 1", "job.succeeded"),
        (lambda: WebhookCreateBody(**HOOK, secret=" "), "secret", "blank", "None"),
        (lambda: WebhookUpdateBody(), None, "nothing to change", "enabled"),
    ],
)
def test_a_mistake_names_the_argument_and_the_fix(build, field, says, fix):
    with pytest.raises(ConfigurationError) as raised:
        build()
    error = raised.value
    assert error.field == field
    assert says in error.message
    assert field is None or field in error.message
    assert fix in (error.hint or "")
    assert error.outcome == "not_sent"
    assert error.__cause__ is None


def test_a_secret_shows_only_on_the_wire():
    body = WebhookCreateBody(**HOOK, secret="canary")
    assert body.to_wire()["secret"] == "canary"
    assert "canary" not in repr(body) + str(body.model_dump()) + body.model_dump_json()
    with pytest.raises(ConfigurationError) as raised:
        WebhookCreateBody(**HOOK, secret=["canary"])
    assert "canary" not in repr(raised.value) + str(raised.value)


def test_an_update_sends_only_what_changes():
    assert WebhookUpdateBody(enabled=False).to_wire() == {"enabled": False}
