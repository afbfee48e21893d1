"""Pipelines and their runs in every dialect, and their request body."""

from datetime import UTC, datetime

import pytest

from planasonix.errors import ConfigurationError, InvalidResponseError
from planasonix.models import (
    LogLine,
    Pipeline,
    PipelineRun,
    PipelineRunRequestBody,
    PipelineStatus,
    RunLogs,
    RunNodes,
    unwrap_one,
    unwrap_page,
)

TWO, THREE = datetime(2025, 3, 27, 2, tzinfo=UTC), datetime(2025, 3, 27, 3, tzinfo=UTC)
BACKEND_ROW = {
    "id": "run_1",
    "pipelineId": "pl_1",
    "status": "success",
    "startedAt": "2025-03-27T02:00:00Z",
    "endedAt": "2025-03-27T03:00:00Z",
    "recordsWritten": 7,
    "errorMessage": "",
}


def test_the_backends_answer_to_a_start():
    body = {"success": True, "message": "started", "runId": "run_1"}
    run = PipelineRun.read(unwrap_one(body, "run"))
    assert (run.id, run.message, run.status, run.phase) == ("run_1", "started", None, "active")
    assert run.to_wire() == body


def test_the_backends_bare_list_of_runs():
    rows, cursor = unwrap_page([BACKEND_ROW, BACKEND_ROW | {"status": "failed", "errorMessage": "no such table"}])
    good, bad = PipelineRun.read_many(rows)
    assert (good.phase, good.rows_written, good.finished_at, good.error, cursor) == ("succeeded", 7, THREE, None, None)
    assert (bad.phase, bad.error.text) == ("failed", "no such table")
    assert [good.to_wire(), bad.to_wire()] == rows


def test_the_answer_of_a_schedule_that_was_run_by_hand():
    attributes = {
        "pipeline_id": "pl_1",
        "schedule_id": "sch_1",
        "status": "queued",
        "trigger": "schedule_manual",
        "created_at": "2025-03-27T02:00:00Z",
    }
    run = PipelineRun.read(unwrap_one({"data": {"id": "run_1", "type": "pipeline_run", "attributes": attributes}}))
    assert (run.id, run.pipeline_id, run.phase, run.trigger.type) == ("run_1", "pl_1", "active", "schedule_manual")
    assert run.created_at == run.queued_at == TWO


@pytest.mark.parametrize("body", [{"run": {"id": "run_1"}}, {"data": {"run": {"run_id": "run_1"}}}, {"runId": "run_1"}])
def test_envelopes_of_a_run(body):
    assert PipelineRun.read(unwrap_one(body, "run")).id == "run_1"


def test_the_start_stands_in_for_a_creation_that_nobody_tells():
    assert PipelineRun.read({"id": "r", "startedAt": "2025-03-27T02:00:00Z"}).created_at == TWO
    assert PipelineRun.read({"id": "r"}).created_at is None


def test_rows_written_are_those_of_the_metrics_where_there_are_any():
    assert PipelineRun.read(BACKEND_ROW | {"metrics": {"rowsWritten": 0}}).rows_written == 0
    assert PipelineRun.read({"id": "r", "metrics": {"recordsWritten": 3}}).rows_written == 3
    assert PipelineRun.read({"id": "r", "metrics": {}}).rows_written is None


def test_a_trigger_is_a_word_or_an_object():
    rows = [{"id": "r", "trigger": "manual"}, {"id": "r", "trigger": {"type": "schedule", "scheduleId": "sch_1"}}]
    runs = PipelineRun.read_many(rows)
    assert [(run.trigger.type, run.trigger.schedule_id) for run in runs] == [("manual", None), ("schedule", "sch_1")]
    assert [run.to_wire() for run in runs] == rows


@pytest.mark.parametrize("body", [{"status": "queued"}, {"id": ""}, {"id": "r", "status": 5}])
def test_a_run_needs_an_id_and_a_readable_status(body):
    with pytest.raises(InvalidResponseError):
        PipelineRun.read(body)


def test_a_pipeline_of_the_backend():
    row = {"id": "pl_1", "name": "n", "sourceConnectionId": "c_1", "destConnectionId": "c_2", "status": "paused"}
    (pipeline,) = Pipeline.read_many(unwrap_page([row]).rows)
    assert (pipeline.source_connection_id, pipeline.dest_connection_id) == ("c_1", "c_2")
    assert pipeline.status is PipelineStatus.PAUSED
    assert pipeline.to_wire() == row


def test_nodes_that_cannot_be_read_do_not_hide_the_others_ids():
    nodes = RunNodes.read(
        {"runId": "r", "nodes": [{"id": "n_1", "metrics": "many", "endedAt": "2025-03-27T02:00:00Z"}]}
    )
    assert (nodes.nodes[0].node_id, nodes.nodes[0].metrics, nodes.nodes[0].finished_at) == ("n_1", None, TWO)


def test_log_lines_in_their_forms():
    logs = RunLogs.read({"lines": ["plain", "", {"timestamp": "2025-03-27T02:00:00Z", "msg": "named otherwise"}]})
    assert [line.message for line in logs.lines] == ["plain", "", "named otherwise"]
    assert logs.lines[2].ts == TWO
    assert logs.to_wire()["lines"][:2] == ["plain", ""]


def test_what_a_log_holds_is_not_in_a_repr():
    assert "secret" not in repr(LogLine.read({"message": "secret"}))
    assert "secret" not in repr(RunLogs.read({"url": "https://logs.example.com/x?signature=secret"}))


class TestRequestBody:
    def test_names_on_the_wire(self):
        body = PipelineRunRequestBody(variables={"day": "2025-03-27"}, environment_id="env_1")
        assert body.to_bytes() == b'{"environmentId":"env_1","variables":{"day":"2025-03-27"}}'

    def test_the_backends_name_for_variables(self):
        body = PipelineRunRequestBody(variables={"a": 1}, variables_field="parameters")
        assert body.to_wire() == {"parameters": {"a": 1}}

    def test_nothing_given_is_nothing_sent(self):
        assert PipelineRunRequestBody().to_wire() == {}
        assert PipelineRunRequestBody(variables={}).to_wire() == {"variables": {}}

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"variables": {"a": float("nan")}}, "variables"),
            ({"variables": {"a": object()}}, "variables"),
            ({"variables": ["a"]}, "variables"),
            ({"environment_id": " "}, "environment_id"),
        ],
    )
    def test_a_mistake_names_field_and_fix(self, arguments, field):
        with pytest.raises(ConfigurationError) as raised:
            PipelineRunRequestBody(**arguments)
        assert raised.value.field == field
        assert raised.value.hint
