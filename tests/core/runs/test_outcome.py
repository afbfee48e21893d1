"""The outcome's rules and the one readable message (G5)."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import NotFoundError, RunCancelledError, RunFailedError, ServerError
from planasonix.models import Backfill, Job, JobResults, PipelineRun, RunNodes
from planasonix.runs import Outcome, RunHandle, effects, job_results, outcome_from_dict, raise_for_failure, report, told
from planasonix.runs.effects import Get, Nodes
from planasonix.runs.outcome import build_outcome, fetch_outcome

HANDLE = RunHandle("job", "job_1", "conn_1", True, 1_767_225_600.0, 1_767_312_000.0, "token", generation=1)


def job(status: str, **more: Any) -> Job:
    return Job.read(
        {
            "id": "job_1",
            "type": "connection_sync",
            "status": status,
            "connection_id": "conn_1",
            "created_at": "2026-01-01T00:00:00Z",
            "started_at": "2026-01-01T00:00:01Z",
            "finished_at": "2026-01-01T00:01:31Z",
            **more,
        }
    )


def results(*tables: dict[str, Any], warnings: list[dict[str, str]] | None = None) -> JobResults:
    return JobResults.read(
        {"job_id": "job_1", "status": "succeeded", "tables": list(tables), "warnings": warnings or []}
    )


ORDERS = {"name": "public.orders", "rows_loaded": 44802, "checksum": "sha256:" + "9f" * 32}


RUN = RunHandle("run", "run_1", "pl_1", True, 0.0, 1.0, "token", generation=1)


def fetched_run(run: dict[str, Any], nodes: Any) -> Outcome:
    """The outcome of a pipeline run that the API shows so."""
    steps = fetch_outcome(RUN, job_url_template="https://app/{kind}s/{id}")
    assert next(steps) == Get("run", "run_1")
    assert steps.send(PipelineRun.read({"id": "run_1", "pipelineId": "pl_1", **run})) == Nodes("run_1")
    answer = steps.throw if isinstance(nodes, Exception) else steps.send
    with pytest.raises(StopIteration) as end:
        answer(nodes)
    return end.value.value


NODES = RunNodes.read(
    {
        "runId": "run_1",
        "nodes": [
            {"nodeId": "n_source", "type": "source.db2", "status": "succeeded", "metrics": {"rowsOut": 31000}},
            {"nodeId": "n_sink", "type": "destination.snowflake", "status": "failed", "metrics": {"rowsIn": 12},
             "error": "key plnx_live_aaaabbbbccccdddd refused"},
        ],
    }
)  # fmt: skip


def test_the_run_of_a_pipeline_tells_its_rows_and_nodes() -> None:
    metrics = {"rowsRead": 31000, "rowsWritten": 12}
    outcome = fetched_run({"status": "succeeded", "metrics": metrics, "durationSeconds": 4}, NODES)
    # Whether a failed node fails the run is the API's to say: an author may have wanted it so.
    assert (outcome.status, outcome.rows_read, outcome.rows_loaded) == ("succeeded", 31000, 12)
    assert [(node.node_id, node.failed, node.rows_in, node.rows_out) for node in outcome.nodes] == [
        ("n_source", False, None, 31000),
        ("n_sink", True, 12, None),
    ]
    told = outcome.to_dict()
    assert (told["pipeline_id"], told["link"]) == ("pl_1", "https://app/runs/run_1")
    assert "connection_id" not in told
    assert outcome_from_dict(json.loads(json.dumps(told))) == outcome


def test_a_job_tells_nothing_of_pipelines() -> None:
    assert not {"pipeline_id", "nodes", "rows_read"} & set(build_outcome(HANDLE, job("succeeded"), []).to_dict())


def test_no_word_of_the_api_brings_a_secret() -> None:
    key = "plnx_live_aaaabbbbccccdddd"
    node = {"nodeId": f"n {key}", "type": f"t {key}", "status": f"s {key}", "error": key}
    outcome = fetched_run({"status": f"odd {key}", "finishedAt": "2026-01-01T00:00:00Z"}, RunNodes(nodes=[node]))
    assert outcome.nodes is not None
    assert (outcome.nodes[0].node_id, outcome.nodes[0].type) == ("n plnx_***", "t plnx_***")
    assert "aaaabbbb" not in json.dumps(outcome.to_dict())


def test_the_report_of_a_failed_pipeline_run_names_its_nodes_and_no_secret() -> None:
    error = {"code": "sink_refused", "message": "The sink refused."}
    text = report(fetched_run({"status": "failed", "error": error, "durationSeconds": 4}, NODES))
    assert text.startswith("Planasonix run run_1 of pipeline pl_1 failed after 4 s")
    assert "Error: sink_refused: The sink refused." in text
    assert "Node n_source (source.db2)  succeeded  31,000 rows out" in text
    assert "Node n_sink (destination.snowflake)  failed  12 rows in: " in text
    assert "aaaabbbb" not in text


def test_no_word_of_a_run_or_its_nodes_carries_a_secret() -> None:
    key = "plnx_live_aaaabbbbccccdddd"
    node = {"nodeId": f"n {key}", "type": key, "status": key, "error": key}
    outcome = fetched_run({"status": key, "finishedAt": "2026-01-01T00:00:00Z"}, RunNodes.read({"nodes": [node]}))
    assert len(outcome.nodes) == 1
    for words in (json.dumps(outcome.to_dict()), report(outcome), repr(outcome)):
        assert "aaaabbbb" not in words


@pytest.mark.parametrize("nodes", [None, ServerError("down", status_code=503)])
def test_nodes_that_cannot_be_read_are_a_warning(nodes: Any) -> None:
    outcome = fetched_run({"status": "canceled"}, nodes)
    assert (outcome.status, outcome.nodes, outcome.warnings[0].code) == ("cancelled", (), "nodes_not_read")


def test_an_id_that_another_pipeline_has_now_has_no_outcome_here() -> None:
    steps = fetch_outcome(RUN)
    next(steps)
    with pytest.raises(NotFoundError, match="is one of pipeline pl_2 and not of pl_1"):
        steps.send(PipelineRun.read({"id": "run_1", "pipelineId": "pl_2", "status": "succeeded"}))


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("succeeded", "succeeded"),
        ("completed", "succeeded"),
        ("success", "succeeded"),
        ("failed", "failed"),
        ("partial", "failed"),
        ("timeout", "failed"),
        ("cancelled", "cancelled"),
        ("canceled", "cancelled"),
        ("defenestrated", "failed"),
    ],
)
def test_only_a_known_success_is_success(status: str, phase: str) -> None:
    assert build_outcome(HANDLE, job(status), []).status == phase


def test_a_missing_table_had_no_change_or_failed_with_the_run() -> None:
    expected = ["public.orders", "public.refunds"]
    good = build_outcome(HANDLE, job("succeeded"), [results(ORDERS)], expected_tables=expected)
    assert [(t.name, t.state) for t in good.tables] == [("public.orders", "loaded"), ("public.refunds", "no_change")]
    assert [t.reported for t in good.tables] == [True, False]
    bad = build_outcome(HANDLE, job("failed"), [results(ORDERS)], expected_tables=expected)
    assert [(t.name, t.state) for t in bad.tables] == [("public.orders", "loaded"), ("public.refunds", "failed")]


def test_a_table_that_a_warning_names_may_not_exist_and_the_log_says_so() -> None:
    missing = {"code": "table_not_found", "message": "public.refund does not exist"}
    outcome = build_outcome(
        HANDLE, job("succeeded"), [results(ORDERS, warnings=[missing])], expected_tables=("public.refund", "public.re")
    )
    assert {t.name: t.state for t in outcome.tables} == {
        "public.orders": "loaded",
        "public.refund": "unknown",
        "public.re": "no_change",
    }
    level, text = told(outcome)
    assert level == "warning"
    assert "  Warning: table_not_found: public.refund does not exist" in text


def test_a_tables_own_status_is_honoured_and_fails_the_run() -> None:
    outcome = build_outcome(HANDLE, job("succeeded"), [results(ORDERS, {"name": "public.refunds", "status": "failed"})])
    assert (outcome.status, outcome.api_status) == ("failed", "succeeded")
    assert outcome.error_message == "1 of 2 tables failed"


def test_a_failed_job_without_an_error_still_has_a_message() -> None:
    outcome = build_outcome(HANDLE, job("failed", error=None), [])
    assert "the API gave none; its status is 'failed'" in report(outcome)


def test_shards_add_up() -> None:
    handle = RunHandle("backfill", "bf_1", "conn_1", True, 0.0, 1.0, "token")
    backfill = Backfill.read(
        {
            "id": "bf_1",
            "status": "completed",
            "start_at": "2026-01-01T00:00:00Z",
            "end_at": "2026-02-01T00:00:00Z",
            "rows_processed": 50,
            "job_ids": ["job_1", "job_2"],
        }
    )
    parts = [results({"name": "a", "rows_loaded": n, "checksum": "sha256:" + "0" * 64}) for n in (20, 30)]
    outcome = build_outcome(handle, backfill, parts, job_ids=("job_1", "job_2"))
    assert [(t.name, t.rows_loaded, t.checksum) for t in outcome.tables] == [("a", 50, None)]
    assert (outcome.rows_loaded, outcome.connection_id, outcome.window_end) == (50, "conn_1", "2026-02-01T00:00:00Z")


def ended_backfill(*job_ids: str) -> tuple[RunHandle, Backfill]:
    handle = RunHandle("backfill", "bf_1", "conn_1", True, 0.0, 1.0, "token")
    return handle, Backfill.read({"id": "bf_1", "status": "completed", "job_ids": list(job_ids)})


def fetched(handle: RunHandle, answers: dict[tuple[str, str], Any], **options: Any) -> tuple[Any, list[str]]:
    """The outcome with these answers to what is read, None for a 404; and the jobs that were read."""
    steps, answer, read = fetch_outcome(handle, **options), None, []
    try:
        effect: Any = next(steps)
        while True:
            kind, name = ("results", effect.job_id) if isinstance(effect, effects.Results) else ("get", effect.run_id)
            answer = answers[kind, name]
            if kind == "get":
                read.append(name)
            effect = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration as end:
        return end.value, read


def test_past_its_time_a_call_reads_no_more_and_the_next_one_goes_on() -> None:
    handle, backfill = ended_backfill("job_1", "job_2", "job_3")
    answers: dict[tuple[str, str], Any] = {("results", f"job_{n}"): results(ORDERS) for n in (1, 2, 3)}
    known: dict[str, Any] = {}
    clock = iter([0.0, 4.0, 8.0, 12.0, 16.0, 20.0])
    late, read = fetched(handle, answers, ended=backfill, seconds=5, read_before=known, now=lambda: next(clock))
    assert [warning.code for warning in late.warnings] == ["results_not_read"]
    assert "1 of 3 jobs: job_3" in late.warnings[0].message
    assert (list(known), read) == (["job_1", "job_2"], []), "past its time it still asked"
    for known_one in ("job_1", "job_2"):
        del answers["results", known_one]
    whole, _ = fetched(handle, answers, ended=backfill, seconds=10, read_before=known, now=lambda: 0.0)
    assert whole.warnings == ()
    assert whole.tables[0].rows_loaded == 3 * 44802


def test_a_call_that_is_always_late_reads_one_job_more_each_time() -> None:
    handle, backfill = ended_backfill("job_1", "job_2")
    answers: dict[tuple[str, str], Any] = {("results", f"job_{n}"): results(ORDERS) for n in (1, 2)}
    known: dict[str, Any] = {}
    late, whole = (fetched(handle, answers, ended=backfill, seconds=-1, read_before=known)[0] for _ in range(2))
    assert ([each.code for each in late.warnings], whole.warnings) == (["results_not_read"], ())


def test_jobs_whose_end_there_is_no_time_to_read_leave_the_outcome_in_doubt() -> None:
    handle, backfill = ended_backfill("job_1", "job_2")
    silent = JobResults.read({"job_id": "job_1", "tables": [ORDERS]})
    answers = {("results", "job_1"): silent, ("results", "job_2"): silent}
    clock = iter([0.0, 1.0, 11.0, 12.0])
    outcome, read = fetched(handle, answers, ended=backfill, seconds=10, now=lambda: next(clock))
    assert read == []
    assert [warning.code for warning in outcome.warnings] == ["results_not_read"]


@pytest.mark.parametrize("told_by", ["results", "job"])
def test_a_backfill_with_a_failed_job_is_no_success(told_by: str) -> None:
    handle, backfill = ended_backfill("job_1", "job_2")
    bad = JobResults.read({"job_id": "job_2", "status": "failed", "tables": []})
    answers = {
        ("get", "bf_1"): backfill,
        ("results", "job_1"): results(ORDERS),
        ("results", "job_2"): bad if told_by == "results" else None,
        ("get", "job_2"): job("failed", id="job_2"),
    }
    outcome, read = fetched(handle, answers)
    assert (outcome.status, outcome.api_status) == ("failed", "completed")
    assert outcome.error_message == "1 of 2 jobs did not succeed: job_2 (failed)"
    assert read == (["bf_1"] if told_by == "results" else ["bf_1", "job_2"])


@pytest.mark.parametrize("status", ["failed", "cancelled", "completed"])
def test_a_table_that_only_some_jobs_of_a_bad_backfill_loaded_is_not_loaded(status: str) -> None:
    handle = RunHandle("backfill", "bf_1", "conn_1", True, 0.0, 1.0, "token")
    backfill = Backfill.read({"id": "bf_1", "status": status, "job_ids": ["job_1", "job_2", "job_3"]})

    def shard(status: str, *names: str) -> JobResults:
        tables = [{"name": name, "rows_loaded": 10} for name in names]
        return JobResults.read({"job_id": "job", "status": status, "tables": tables})

    answers = {
        ("get", "bf_1"): backfill,
        ("results", "job_1"): shard("succeeded", "everywhere", "first_half"),
        ("results", "job_2"): shard("failed", "everywhere"),
        ("results", "job_3"): shard("succeeded", "everywhere", "first_half"),
    }
    outcome, _ = fetched(handle, answers)
    assert {(table.name, table.state, table.rows_loaded) for table in outcome.tables} == {
        ("everywhere", "loaded", 30),
        ("first_half", "failed", 20),
    }
    # A job whose results nobody could read may be the one that is missing.
    answers["results", "job_3"] = None
    answers["get", "job_3"] = job("failed", id="job_3")
    outcome, _ = fetched(handle, answers)
    # It is read only where the backfill itself is called a success.
    assert {table.state for table in outcome.tables if table.name == "everywhere"} == {
        "failed" if status == "completed" else "unknown"
    }
    assert {table.state for table in outcome.tables if table.name == "first_half"} == {"failed"}


@pytest.mark.parametrize("silent", ["no results", "no status"])
@pytest.mark.parametrize(("shown", "state"), [("succeeded", "loaded"), ("failed", "failed"), (None, "unknown")])
def test_a_job_of_a_bad_backfill_without_results_is_what_a_read_shows(
    silent: str, shown: str | None, state: str
) -> None:
    handle, backfill = ended_backfill("job_1", "job_2", "job_3")
    tables = [{"name": "public.orders", "rows_loaded": 10}]
    answers = {
        ("get", "bf_1"): backfill,
        ("results", "job_1"): JobResults.read({"job_id": "job_1", "status": "succeeded", "tables": tables}),
        ("results", "job_2"): JobResults.read({"job_id": "job_2", "status": "failed", "tables": tables}),
        ("results", "job_3"): None if silent == "no results" else JobResults.read({"job_id": "job_3", "tables": []}),
        ("get", "job_3"): NotFoundError("gone", status_code=404) if shown is None else job(shown, id="job_3"),
    }
    outcome, _ = fetched(handle, answers)
    assert outcome.status == "failed"
    assert {table.name: table.state for table in outcome.tables} == {"public.orders": state}


def test_where_too_many_jobs_of_a_bad_backfill_have_results_its_tables_are_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_results, "_RESULTS_OF_AT_MOST", 1)
    handle = RunHandle("backfill", "bf_1", "conn_1", True, 0.0, 1.0, "token")
    answers = {
        ("get", "bf_1"): Backfill.read({"id": "bf_1", "status": "failed", "job_ids": ["job_1", "job_2"]}),
        ("results", "job_1"): results(ORDERS),
    }
    outcome, _ = fetched(handle, answers)
    assert [table.state for table in outcome.tables] == ["unknown"]


def test_a_backfill_whose_jobs_all_succeeded_costs_no_call_more() -> None:
    handle, backfill = ended_backfill("job_1", "job_2")
    answers = {("get", "bf_1"): backfill, ("results", "job_1"): results(ORDERS), ("results", "job_2"): results(ORDERS)}
    outcome, read = fetched(handle, answers)
    assert (outcome.status, read) == ("succeeded", ["bf_1"])


def test_a_job_that_cannot_be_read_leaves_the_word_of_the_backfill() -> None:
    handle, backfill = ended_backfill("job_1")
    lost = NotFoundError("no such job", status_code=404)
    outcome, _ = fetched(handle, {("get", "bf_1"): backfill, ("results", "job_1"): None, ("get", "job_1"): lost})
    assert (outcome.status, outcome.warnings[0].code) == ("succeeded", "results_not_read")


GOLDEN = """\
Planasonix job job_1 of connection conn_1 failed after 1 min 30 s, 44,802 rows loaded.
  Error: source_unreachable: connection refused
  Tables: 1 failed, 1 loaded
    public.refunds  failed
    public.orders   loaded  44,802 rows
  Warning: column_type_widened: discount_pct is wider now
  Link: https://app.example.com/jobs/job_1"""


def test_the_message_is_readable() -> None:
    outcome = build_outcome(
        HANDLE,
        job("failed", error={"code": "source_unreachable", "message": "connection refused"}),
        [results(ORDERS, warnings=[{"code": "column_type_widened", "message": "discount_pct is wider now"}])],
        expected_tables=["public.refunds"],
        job_url_template="https://app.example.com/jobs/{job_id}",
    )
    assert report(outcome) == GOLDEN
    with pytest.raises(RunFailedError) as caught:
        raise_for_failure(outcome)
    assert GOLDEN in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.run_id, again.outcome_data) == (str(caught.value), "job_1", outcome.to_dict())


def test_many_tables_are_cut_failed_ones_first() -> None:
    tables = [
        {"name": f"t{n:03}", "rows_loaded": 1, "status": "failed" if n == 99 else "succeeded"} for n in range(100)
    ]
    text = report(build_outcome(HANDLE, job("failed"), [results(*tables)]))
    assert "    t099  failed" in text
    assert "… and 80 more" in text


def test_a_cancelled_run_raises_its_own_error() -> None:
    with pytest.raises(RunCancelledError):
        raise_for_failure(build_outcome(HANDLE, job("cancelled"), []))


def test_the_dict_is_json_and_comes_back() -> None:
    import json

    outcome = build_outcome(HANDLE, job("succeeded"), [results(ORDERS, warnings=[{"code": "c", "message": "m"}])])
    assert outcome_from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome
    stored = json.loads(json.dumps(outcome.to_dict()))
    stored["tables"] = [{"name": "a", "state": "no_change"}, {"name": "b", "state": "loaded", "rows_loaded": 1}]
    assert [table.reported for table in outcome_from_dict(stored).tables] == [False, True]


def test_a_handle_of_another_version_is_read() -> None:
    data = {**HANDLE.to_dict(), "version": 7, "invented_later": True}
    assert RunHandle.from_dict(data).id == "job_1"
    assert HANDLE.created == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_handle_of_version_1_is_read() -> None:
    before = {name: value for name, value in HANDLE.to_dict().items() if name != "target_id"}
    assert RunHandle.from_dict({**before, "connection_id": "conn_1", "version": 1}) == HANDLE


def test_the_link_of_a_pipeline_run_names_its_pipeline_and_no_connection() -> None:
    run = RunHandle("run", "run_1", "pl_1", True, 0.0, 1.0, "token")
    assert run.link("https://app/{kind}s/{id}?p={pipeline_id}") == "https://app/runs/run_1?p=pl_1"
    assert run.link("https://app/{kind}s/{id}?c={connection_id}") is None
    assert run.link("https://app/{job_id}") is None
    assert HANDLE.link("https://app/{kind}s/{id}?p={pipeline_id}") is None


def test_a_handle_without_a_target_has_no_link_that_needs_it() -> None:
    for kind, word in (("job", "connection_id"), ("run", "pipeline_id")):
        handle = RunHandle(kind, "1", "", True, 0.0, 1.0, "token")  # type: ignore[arg-type]
        assert handle.link(f"https://app/{{{word}}}/{{id}}") is None
        assert handle.link("https://app/{kind}s/{id}") == f"https://app/{kind}s/1"


def test_no_template_no_link() -> None:
    assert HANDLE.link(None) is None
    assert HANDLE.link("https://app/{job_id}?c={connection_id}") == "https://app/job_1?c=conn_1"
    backfill = RunHandle("backfill", "bf_1", "conn_1", True, 0.0, 1.0, "token")
    assert backfill.link("https://app/jobs/{job_id}") is None
    assert backfill.link("https://app/{kind}s/{id}") == "https://app/backfills/bf_1"
    assert build_outcome(HANDLE, SimpleNamespace(**vars(_bare())), []).link is None


def _bare() -> Any:
    return SimpleNamespace(id="job_1", status="succeeded", phase="succeeded", created_at=None, connection_id=None)


@pytest.mark.planasonix_sandbox(speed=60)
def test_results_that_cannot_be_read_do_not_fail_a_run_that_succeeded(planasonix_sandbox: Any) -> None:
    from planasonix import Planasonix
    from planasonix.runs import SyncRequest, run_to_end

    planasonix_sandbox.fault("jobs.results", "error", times=None)
    with Planasonix(planasonix_sandbox.api_key, planasonix_sandbox.url, max_tries=2) as client:
        outcome = run_to_end(client, SyncRequest("conn_shop_orders"))
    assert outcome is not None
    assert outcome.succeeded
    assert [warning.code for warning in outcome.warnings] == ["results_not_read"]


def test_an_error_code_that_is_a_number_and_an_endless_duration_are_told() -> None:
    outcome = build_outcome(HANDLE, job("failed", error={"code": 1205, "message": "deadlock"}), [])
    assert "Error: 1205: deadlock" in report(outcome)
    endless = SimpleNamespace(**vars(_bare()), duration_seconds=float("inf"))
    assert "succeeded" in report(build_outcome(HANDLE, endless, []))


def test_what_nobody_could_read_is_not_called_no_change() -> None:
    outcome = build_outcome(HANDLE, job("succeeded"), [], expected_tables=["public.orders"], all_read=False)
    assert [(table.name, table.state) for table in outcome.tables] == [("public.orders", "unknown")]


def test_a_credential_in_the_apis_words_is_masked() -> None:
    secret = "plnx_live_0123456789abcdef"
    error = {"code": "x", "message": f"key {secret} was refused"}
    outcome = build_outcome(HANDLE, job("failed", error=error), [results(warnings=[{"code": "w", "message": secret}])])
    assert secret not in report(outcome)
    assert secret not in str(outcome.to_dict())


def _fetch(runs: list[Any], answers: dict[str, Any]) -> tuple[Any, int]:
    """Drive `fetch_outcome`; returns the outcome and how often it slept."""
    from planasonix.runs import effects
    from planasonix.runs.outcome import fetch_outcome

    handle = RunHandle("backfill", "bf_1", "conn_1", True, 0.0, 1.0, "token")
    steps = fetch_outcome(handle)
    slept, effect = 0, next(steps)
    try:
        while True:
            if isinstance(effect, effects.Get):
                effect = steps.send(runs.pop(0) if len(runs) > 1 else runs[0])
            elif isinstance(effect, effects.Sleep):
                slept += 1
                effect = steps.send(None)
            else:
                answer = answers.get(effect.job_id)
                effect = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration as end:
        return end.value, slept


def _backfill(status: str) -> Any:
    return Backfill.read({"id": "bf_1", "status": status, "job_ids": ["j1", "j2", "j3"]})


def test_one_unreadable_shard_hides_no_other() -> None:
    from planasonix.errors import ServerError

    failed = results({"name": "a", "status": "failed"})
    outcome, _ = _fetch(
        [_backfill("completed")], {"j1": ServerError("down", status_code=500), "j2": None, "j3": failed}
    )
    assert outcome.status == "failed"
    assert [warning.code for warning in outcome.warnings] == ["results_not_read"]
    assert "2 of 3" in outcome.warnings[0].message


def test_a_replica_that_lags_behind_turns_no_success_into_a_failure() -> None:
    from planasonix.errors import WaitTimeoutError

    outcome, slept = _fetch([_backfill("running"), _backfill("running"), _backfill("completed")], {})
    assert (outcome.status, slept) == ("succeeded", 2)
    with pytest.raises(WaitTimeoutError):
        _fetch([_backfill("running")], {})
