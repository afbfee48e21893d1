"""The forms in which the same object may come, and the fields that cannot be read."""

import copy
import json
import pickle
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planasonix.errors import InvalidResponseError
from planasonix.models import (
    Backfill,
    Connection,
    ConnectionColumns,
    ConnectionTables,
    Delivery,
    Job,
    JobResults,
    RunError,
    Webhook,
    WebhookSecret,
    phase_of,
    read_json,
    unwrap_one,
    unwrap_page,
)

NOON = datetime(2025, 3, 27, 12, tzinfo=UTC)
JOB = {"id": "job_1", "type": "connection_sync", "status": "running", "connection_id": "conn_1"}


class TestEnvelopes:
    @pytest.mark.parametrize(
        "body",
        [
            {"data": {"job": JOB}},
            {"data": JOB},
            {"job": JOB},
            JOB,
            {"data": {"id": "job_1", "type": "job", "attributes": {k: v for k, v in JOB.items() if k != "id"}}},
            # An object that has its own id is no envelope, whatever its other fields are called.
            JOB | {"data": {"rows": 1}, "job": {"id": "another"}},
        ],
    )
    def test_one_object(self, body):
        found = Job.read(unwrap_one(body, "job"))
        assert (found.id, found.type, found.status, found.connection_id) == tuple(JOB.values())

    def test_the_flat_dialect_of_the_vendor_package(self):
        job = Job.read(
            unwrap_one(
                {
                    "job_id": "job_1",
                    "status": "completed",
                    "connection_id": "conn_1",
                    "completed_at": "2025-03-27T12:00:00Z",
                    "progress": {"rows_synced": 7},
                },
                "job",
            )
        )
        assert (job.id, job.phase, job.finished_at) == ("job_1", "succeeded", NOON)
        assert job.metrics is not None
        assert job.metrics.rows_loaded == 7

    def test_a_pipeline_run_of_the_backend(self):
        started = Job.read(unwrap_one({"success": True, "message": "ok", "runId": "run_1"}))
        ended = Job.read({"id": "run_1", "pipelineId": "pl_1", "status": "failed", "errorMessage": "no such table"})
        assert started.id == "run_1"
        assert ended.pipeline_id == "pl_1"
        assert ended.error is not None
        assert ended.error.text == "no such table"

    @pytest.mark.parametrize("body", [None, [], [JOB], "job", 5, {"data": None}, {"data": [JOB]}])
    def test_no_object(self, body):
        with pytest.raises(InvalidResponseError) as raised:
            unwrap_one(body, "job")
        assert raised.value.field == "job"
        assert raised.value.outcome == "unknown"

    @pytest.mark.parametrize(
        ("body", "cursor"),
        [
            ([JOB], None),
            ({"jobs": [JOB], "total": 1}, None),
            ({"data": [JOB]}, None),
            ({"data": {"jobs": [JOB]}}, None),
            ({"data": [JOB], "meta": {"page": {"limit": 50, "cursor": None}}}, None),
            ({"data": [JOB], "meta": {"page": {"limit": 50, "cursor": ""}}}, None),
            ({"data": [JOB], "meta": {"page": {"limit": 50, "cursor": "abc"}}}, "abc"),
            ({"data": [JOB], "meta": {"cursor": "abc"}}, "abc"),
            ({"jobs": [JOB], "nextCursor": "abc"}, "abc"),
            ({"data": {"jobs": [JOB], "next_cursor": 12}}, "12"),
            ({"data": [{"id": "job_1", "attributes": {**JOB}}]}, None),
        ],
    )
    def test_a_page(self, body, cursor):
        page = unwrap_page(body, ["jobs"])
        assert page.rows == [JOB]
        assert page.cursor == cursor

    def test_an_empty_page_may_have_a_next_one(self):
        assert unwrap_page({"data": [], "meta": {"page": {"cursor": "abc"}}}) == ([], "abc")

    def test_a_null_list_is_an_empty_one(self):
        assert unwrap_page({"data": None, "meta": {"total": 0}}) == ([], None)

    @pytest.mark.parametrize("body", [None, "jobs", 5, {}, {"total": 3}, {"data": "none"}, {"data": {"id": "job_1"}}])
    def test_no_list(self, body):
        with pytest.raises(InvalidResponseError, match="holds no list"):
            unwrap_page(body, ["jobs"])

    def test_a_row_that_is_no_object_is_named(self):
        with pytest.raises(InvalidResponseError, match="Row 1") as raised:
            unwrap_page([JOB, "job_2"])
        assert raised.value.field == "1"

    @pytest.mark.parametrize(
        ("body", "cut_off"), [(b"", True), (b'{"data": {"id": "jo', True), (b"<html>login</html>", False)]
    )
    def test_what_is_not_json_is_described_and_never_quoted(self, body, cut_off):
        with pytest.raises(InvalidResponseError) as raised:
            read_json(body, content_type="text/html; charset=utf-8")
        assert raised.value.retryable is cut_off
        assert f"(text/html, {len(body)} bytes)" in str(raised.value)
        assert "login" not in str(raised.value)


class TestStrictness:
    @pytest.mark.parametrize("row", [{}, {"status": "running"}, {"id": None}, {"id": ""}, {"id": 5}, {"id": {}}])
    @pytest.mark.parametrize("model", [Job, Backfill, Webhook, Delivery, Connection])
    def test_an_object_without_its_id_is_refused(self, model, row):
        with pytest.raises(InvalidResponseError, match=r"id (is missing|cannot be read)") as raised:
            model.read(row)
        assert raised.value.field == "id"
        assert raised.value.__cause__ is None

    @pytest.mark.parametrize("model", [Job, Backfill, Delivery])
    @pytest.mark.parametrize("status", [5, True, {}, ["running"]])
    def test_a_status_that_is_no_text_is_refused(self, model, status):
        with pytest.raises(InvalidResponseError) as raised:
            model.read({"id": "1", "status": status})
        assert raised.value.field == "status"

    def test_a_page_names_the_row(self):
        with pytest.raises(InvalidResponseError) as raised:
            Job.read_many([JOB, {"status": "running"}])
        assert raised.value.field == "1.id"

    def test_the_error_does_not_quote_what_was_sent(self):
        with pytest.raises(InvalidResponseError) as raised:
            WebhookSecret.read({"id": "wh_1", "signing_secret": ["canary"]})
        assert raised.value.field == "signing_secret"
        assert "canary" not in repr(raised.value) + str(raised.value)


class TestTolerance:
    @pytest.mark.parametrize(
        ("error", "text"),
        [
            ("disk full", "disk full"),
            ({"code": "disk_full", "message": "no space"}, "disk_full: no space"),
            ({"type": "io", "detail": "no space"}, "io: no space"),
            ({"code": 507}, "507"),
            ({"why": "unknown words"}, '{"why": "unknown words"}'),
            (["first", "second"], "first; second"),
            ([{"code": "a", "message": "first"}, {"message": "second"}], "a: first; second"),
            ([{"code": "a", "message": "first", "details": {"x": 1}}], "a: first"),
        ],
    )
    def test_an_error_may_have_any_form(self, error, text):
        row = JOB | {"status": "failed", "error": error}
        job = Job.read(row)
        assert job.error is not None
        assert job.error.text == text
        assert job.to_wire() == row

    @pytest.mark.parametrize("error", [None, "", [], 0, False, 17, [5], [[]]])
    def test_an_error_that_says_nothing_is_none(self, error):
        row = JOB | {"status": "failed", "error": error}
        job = Job.read(row)
        assert job.error is None
        assert job.phase == "failed"
        assert job.to_wire() == row

    @pytest.mark.parametrize(
        ("value", "moment"),
        [
            ("2025-03-27T12:00:00Z", NOON),
            ("2025-03-27T12:00:00", NOON),
            ("2025-03-27T14:00:00+02:00", NOON),
            ("2025-03-27T12:00:00.000000001Z", NOON),
            ("yesterday", None),
            ("", None),
            (1743076800, None),
            ("0001-01-01T00:00:00Z", None),
            ("9999-12-31T23:59:59-14:00", None),
            ([], None),
        ],
    )
    def test_times(self, value, moment):
        job = Job.read(JOB | {"started_at": value})
        assert job.started_at == moment
        if moment is None:
            assert job.to_wire()["started_at"] == value
        else:
            assert job.started_at.tzinfo is UTC
            assert job.to_wire()["started_at"] == "2025-03-27T12:00:00Z"

    def test_one_field_that_cannot_be_read_costs_only_itself(self):
        row = JOB | {"metrics": {"rows_loaded": "many", "rows_extracted": 3}, "duration_seconds": {}, "type": 4}
        row["metadata"] = "not an object"
        job = Job.read(row)
        assert job.metrics is not None
        assert (job.metrics.rows_loaded, job.metrics.rows_extracted) == (None, 3)
        assert (job.duration_seconds, job.type, job.metadata) == (None, None, None)
        assert job.status == "running"
        assert job.to_wire() == row

    def test_results_in_the_words_of_the_vendor_package(self):
        body = {
            "id": "job_1",
            "status": "partial",
            "streams": [{"stream": "public.orders", "rows_synced": 4}, "public.items"],
            "warnings": ["a column was widened"],
            "summary": {"total_rows_synced": 4, "duration_seconds": 2},
        }
        results = JobResults.read(body)
        assert results.job_id == "job_1"
        assert results.phase == "failed"
        assert [(table.name, table.rows_loaded) for table in results.tables] == [
            ("public.orders", 4),
            ("public.items", None),
        ]
        assert results.warnings[0].message == "a column was widened"
        assert results.total_rows_loaded == 4
        assert results.to_wire() == body

    def test_rows_are_summed_or_taken_from_the_summary(self):
        tables = [{"name": "a", "rows_loaded": 1}, {"name": "b", "rows_loaded": 2}, {"name": "c"}]
        assert JobResults.read({"tables": tables}).total_rows_loaded == 3
        assert JobResults.read({"summary": {"total_rows_synced": 9}}).total_rows_loaded == 9
        assert JobResults.read({"tables": []}).total_rows_loaded is None

    def test_connections_in_both_cases(self):
        camel = {"id": "c", "credentialId": "cred_1", "createdAt": "2025-03-27T12:00:00Z", "config": {"a": 1}}
        snake = {"id": "c", "credential_id": "cred_1", "created_at": "2025-03-27T12:00:00Z", "params": {"a": 1}}
        for body in (camel, snake):
            found = Connection.read(body)
            assert (found.credential_id, found.created_at, found.config) == ("cred_1", NOON, {"a": 1})
            assert found.to_wire() == body

    def test_a_job_in_camel_case(self):
        body = {"jobId": "job_1", "connectionId": "conn_1", "startedAt": "2025-03-27T12:00:00Z"}
        body |= {"finishedAt": "2025-03-27T12:00:00Z", "durationSeconds": 1.5, "metrics": {"rowsLoaded": 2}}
        job = Job.read(body)
        assert (job.id, job.connection_id, job.started_at) == ("job_1", "conn_1", NOON)
        assert (job.finished_at, job.duration_seconds) == (NOON, 1.5)
        assert job.metrics is not None
        assert job.metrics.rows_loaded == 2
        assert job.to_wire() == body

    def test_the_documented_name_wins(self):
        assert Job.read({"id": "job_1", "job_id": "job_2"}).id == "job_1"
        null_beside = {"id": "job_1", "error": None, "error_message": "disk full"}
        job = Job.read(null_beside)
        assert job.error is not None
        assert job.to_wire() == null_beside

    def test_tables_and_columns_may_be_bare_names(self):
        body = {"tables": ["orders", {"name": "v", "type": "MATERIALIZED VIEW", "schema": "s"}], "schema": "p"}
        tables = ConnectionTables.read(body)
        assert [(table.name, table.is_view) for table in tables.tables] == [("orders", False), ("v", True)]
        assert tables.tables[1].schema_name == "s"
        assert tables.to_wire() == body
        assert ConnectionColumns.read({"columns": ["a"]}).columns[0].name == "a"

    def test_a_list_that_cannot_be_read_is_empty_and_kept(self):
        body = {"tables": [{"name": "orders"}, 5]}
        assert ConnectionTables.read(body).tables == []
        assert ConnectionTables.read(body).to_wire() == body


class TestSecrets:
    @pytest.mark.parametrize("name", ["signing_secret", "signingSecret", "secret"])
    @pytest.mark.parametrize("model", [Webhook, WebhookSecret])
    def test_a_signing_secret_shows_only_on_the_wire(self, model, name):
        found = model.read({"id": "wh_1", name: "canary"})
        assert found.signing_secret.get_secret_value() == "canary"
        assert found.to_wire()["signing_secret"] == "canary"
        shown = [repr(found), str(found), found.model_dump_json(), str(found.model_dump()), str(vars(found))]
        assert "canary" not in "".join(shown) + str(found.model_extra)

    def test_a_second_secret_beside_the_first_is_not_kept(self):
        found = Webhook.read({"id": "wh_1", "signing_secret": "canary-1", "secret": "canary-2"})
        assert "canary" not in repr(found) + str(found.model_dump()) + str(found.model_extra)

    def test_unknown_fields_and_configurations_are_not_shown(self):
        assert "canary" not in repr(Webhook.read({"id": "wh_1", "token": "canary"}))
        assert "canary" not in repr(Connection.read({"id": "c", "config": {"password": "canary"}}))


@pytest.mark.parametrize(
    "row",
    [
        JOB | {"error": "text", "new": {"field": [1]}, "started_at": "never", "metrics": {"rowsRead": 1}},
        {"job_id": "job_1", "status": "brand_new", "createdAt": "2025-03-27T12:00:00Z"},
    ],
)
def test_models_survive_pickling_and_copying(row):
    job = Job.read(row)
    for twin in (pickle.loads(pickle.dumps(job)), copy.deepcopy(job), job.model_copy()):
        assert twin == job
        assert twin.to_wire() == row
    assert RunError.read("text").to_wire() == "text"


# Names that this layer gives a meaning would not be "extra"; all of them are in one of these two forms.
JOB_NAMES = set(Job.model_fields) | {"job_id", "run_id", "ended_at", "completed_at", "error_message", "progress"}
MEANINGFUL = JOB_NAMES | {"".join(w if i == 0 else w.title() for i, w in enumerate(n.split("_"))) for n in JOB_NAMES}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    extra=st.dictionaries(st.text().filter(lambda name: name not in MEANINGFUL), JSON, max_size=5),
    status=st.none() | st.text(),
    ended=st.booleans(),
)
def test_what_is_new_never_breaks_a_job_nor_changes_its_phase(extra, status, ended):
    row = {**extra, "id": "job_1", "status": status, "finished_at": "2025-03-27T12:00:00Z" if ended else None}
    [job] = Job.read_many(unwrap_page({"data": [row]}).rows) if "attributes" not in extra else [Job.read(row)]
    assert job.phase == phase_of(status, ended=ended)
    assert job.to_wire() == row


@given(
    row=st.fixed_dictionaries(
        {"id": st.just("job_1")}, optional=dict.fromkeys(sorted(MEANINGFUL - {"id", "status"}), JSON)
    )
)
def test_no_optional_field_makes_a_page_unreadable(row):
    [job] = Job.read_many([row])
    assert job.id == "job_1"
    assert set(job.to_wire()) == set(row)
    json.dumps(job.to_wire())


@given(body=st.binary(max_size=40) | JSON.map(lambda data: json.dumps(data).encode()))
def test_whatever_comes_is_read_or_refused_in_our_own_words(body):
    with suppress(InvalidResponseError):
        Job.read(unwrap_one(read_json(body), "job"))
    with suppress(InvalidResponseError):
        Job.read_many(unwrap_page(read_json(body), ["jobs"]).rows)
