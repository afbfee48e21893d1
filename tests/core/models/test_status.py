"""What each word of the facts' table of statuses means for whoever waits."""

import subprocess
import sys

import pytest

from planasonix.models import (
    TERMINAL_PHASES,
    Backfill,
    Job,
    JobResults,
    JobStatus,
    PipelineRun,
    RunNode,
    is_known_status,
    phase_of,
)

# Every word of facts §4.1, whatever it is the status of, with its phase if it came as that of a job. A word that no
# source gives to a run (None) is unknown: active without an end, failed with one.
PHASE_BY_WORD = {
    # jobs, backfills, pipeline runs, in every dialect
    "queued": "active",
    "running": "active",
    "succeeded": "succeeded",
    "completed": "succeeded",
    "success": "succeeded",
    "failed": "failed",
    "partial": "failed",
    "timeout": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "cancelling": "cancelling",
    "cancel_requested": "cancelling",
    "accepted": "active",
    # the same in the words of the user interface
    "Running": "active",
    "Success": "succeeded",
    "Failed": "failed",
    "Canceled": "cancelled",
    "Skipped": "failed",
    # other objects
    "draft": None,
    "active": None,
    "archived": None,
    "paused": None,
    "error": "failed",
    "created": "active",
    "starting": "active",
    "stopped": None,
    "Healthy": None,
    "Failing": None,
    "Paused": None,
    "pending": "active",
    "delivered": None,
    "revoked": None,
    "synced": None,
    "deleted": None,
    "healthy": None,
}
# Spellings that no source has, but that servers use.
MORE = {
    "canceling": "cancelling",
    "errored": "failed",
    "timed_out": "failed",
    "skipped": "failed",
    "scheduled": "active",
    "in_progress": "active",
    " SUCCEEDED ": "succeeded",
}


@pytest.mark.parametrize(("word", "phase"), (PHASE_BY_WORD | MORE).items())
def test_the_phase_of_a_word(word, phase):
    assert phase_of(word, ended=False) == (phase or "active")
    assert phase_of(word, ended=True) == (phase or "failed")
    assert phase_of(word, ended=True, kind="backfill") == (phase or "active")
    assert is_known_status(word) is (phase is not None)


@pytest.mark.parametrize("status", [None, "", "brand_new"])
def test_a_word_that_nobody_knows_is_no_end_by_itself(status):
    assert phase_of(status, ended=False) == "active"
    assert phase_of(status, ended=True) == "failed"
    assert not is_known_status(status)


@pytest.mark.parametrize(("word", "phase"), PHASE_BY_WORD.items())
def test_models_follow_the_same_rule(word, phase):
    job = Job.read({"id": "job_1", "status": word})
    ended = Job.read({"id": "job_1", "status": word, "finished_at": "2025-03-27T14:22:10Z"})
    backfill = Backfill.read({"id": "bf_1", "status": word, "progress_percent": 100})
    results = JobResults.read({"job_id": "job_1", "status": word})
    pipeline_run = PipelineRun.read({"id": "run_1", "status": word})
    ended_run = PipelineRun.read({"id": "run_1", "status": word, "endedAt": "2025-03-27T14:22:10Z"})
    node = RunNode.read({"nodeId": "n_1", "status": word, "finishedAt": "2025-03-27T14:22:10Z"})

    assert job.phase == backfill.phase == results.phase == pipeline_run.phase == (phase or "active")
    assert ended.phase == ended_run.phase == node.phase == (phase or "failed")
    for run in (job, ended, backfill, pipeline_run, ended_run):
        assert run.is_terminal is (run.phase in TERMINAL_PHASES)
    assert results.is_final is (results.phase in TERMINAL_PHASES)


def test_a_time_of_the_end_that_cannot_be_read_is_no_end():
    assert Job.read({"id": "job_1", "status": "brand_new", "finished_at": "soon"}).phase == "active"
    # The zero time of a server written in Go.
    assert Job.read({"id": "job_1", "status": "brand_new", "finished_at": "0001-01-01T00:00:00Z"}).phase == "active"


def test_words_and_their_meaning_need_no_pydantic():
    code = (
        "import sys; from planasonix.models.status import phase_of; from planasonix.models import JobStatus;"
        "import planasonix.errors; assert JobStatus.QUEUED.is_known; assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_published_word_is_one_object_and_a_new_one_is_a_word_too():
    assert JobStatus.QUEUED is JobStatus.of("queued")
    assert JobStatus.QUEUED == "queued"
    assert repr(JobStatus("brand_new")) == "JobStatus('brand_new')"
    assert not JobStatus("brand_new").is_known
    assert [str(word) for word in JobStatus.known()][:2] == ["queued", "running"]
    assert Job.read({"id": "1", "status": "queued"}).status is JobStatus.QUEUED
