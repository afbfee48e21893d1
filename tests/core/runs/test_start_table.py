"""The state table of `planasonix.runs.start`, row by row."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix.errors import (
    ConfigurationError,
    ConflictError,
    OutcomeUnknownError,
    PlanasonixError,
    TransportError,
)
from planasonix.runs.provenance import Provenance
from planasonix.runs.record import Record
from planasonix.runs.requests import BackfillRequest, PipelineRunRequest

INTENT = "intent-1"
kinds = pytest.mark.parametrize("kind", ["job", "run"])


def fresh(world: Any, **changes: Any) -> Record:
    record = Record.fresh(INTENT, world.request, Provenance("test", "a test").metadata(INTENT, 0))
    return replace(record, **changes)


def sent(world: Any, *, ago: float = 10.0) -> Record:
    """A POST went out `ago` seconds ago and nobody saw the answer."""
    return fresh(world, sent_at=world.now - ago)


def known(world: Any, job: Any) -> Record:
    created = job.created_at.timestamp()
    return fresh(world, sent_at=created, run_id=job.id, created_at=created, deadline_at=created + 86_400.0)


def accepted_before(world: Any, status: str, *, ago: float = 10.0) -> Record:
    """The same, and the API did accept it: the job is now in `status`."""
    record = sent(world, ago=ago)
    job = world.add_job(status, age=ago - 1, metadata={"planasonix_intent": INTENT})
    world.by_key[record.key] = (replace(job, status="queued"), record.body)
    return record


def others(*statuses: str) -> Any:
    """Nothing in the ledger; somebody else's jobs in these states."""

    def prepare(world: Any) -> None:
        for number, status in enumerate(statuses):
            world.add_job(status, job_id=f"job_other_{number}")

    return prepare


# One row: name; the world; the stored record; the policy; the calls that follow; what start comes to; jobs afterwards.
Row = tuple[str, dict[str, Any], Any, dict[str, Any], str, str, int]

ROWS: list[Row] = [
    # --- the ledger alone -----------------------------------------------------------------------------------------
    ("first try", {}, None, {}, "SAVE POST SAVE", "started", 1),
    ("known, active", {}, lambda w: known(w, w.add_job("running")), {}, "GET", "reattached", 1),
    ("known, queued", {}, lambda w: known(w, w.add_job("queued")), {}, "GET", "reattached", 1),
    ("known, succeeded", {}, lambda w: known(w, w.add_job("succeeded")), {}, "GET", "finished", 1),
    (
        "known, succeeded, but failed by its owner",
        {},
        lambda w: replace(known(w, w.add_job("succeeded")), ended_as="succeeded", verdict="failed"),
        {},
        "GET SAVE POST SAVE",
        "started",
        2,
    ),
    ("known, failed", {}, lambda w: known(w, w.add_job("failed")), {}, "GET SAVE POST SAVE", "started", 2),
    (
        "known, cancelled",
        {},
        lambda w: known(w, w.add_job("cancelled")),
        {},
        "GET SAVE POST SAVE",
        "started",
        2,
    ),
    (
        "known, cancelling",
        {"ends_after_sleeps": {"job_1": 2}},
        lambda w: known(w, w.add_job("cancelling")),
        {},
        "GET GET GET SAVE POST SAVE",
        "started",
        2,
    ),
    (
        "known, missing, young",
        {},
        lambda w: replace(known(w, w.add_job("queued")), run_id="job_gone"),
        {},
        "GET",
        "reattached",
        1,
    ),
    (
        "known, missing for long",
        {},
        lambda w: replace(known(w, w.add_job("succeeded", age=600)), run_id="job_gone"),
        {},
        "GET GET GET SAVE POST SAVE",
        "started",
        2,
    ),
    (
        "known, of another connection",
        {},
        lambda w: known(w, w.add_job("running", target_id="another")),
        {},
        "GET SAVE POST SAVE",
        "started",
        2,
    ),
    # --- lost before: key honoured, replay live / saved -----------------------------------------------------------
    *[
        (
            f"replay {replay}, {status}",
            {"replay": replay},
            lambda w, s=status: accepted_before(w, s),
            {},
            calls,
            how,
            jobs,
        )
        for replay in ("live", "saved")
        for status, calls, how, jobs in (
            ("running", "SAVE POST SAVE GET", "reattached", 1),
            ("succeeded", "SAVE POST SAVE GET", "finished", 1),
            ("failed", "SAVE POST SAVE GET SAVE POST SAVE", "started", 2),
            ("cancelled", "SAVE POST SAVE GET SAVE POST SAVE", "started", 2),
        )
    ],
    (
        "replay saved, cancelling",
        {"replay": "saved", "ends_after_sleeps": {"job_1": 1}},
        lambda w: accepted_before(w, "cancelling"),
        {},
        "SAVE POST SAVE GET GET SAVE POST SAVE",
        "started",
        2,
    ),
    (
        "lost before the effect, then sent again",
        {},
        lambda w: sent(w),
        {},
        "SAVE POST SAVE GET",
        "reattached",
        1,
    ),
    # --- lost before: key past its time, or ignored ---------------------------------------------------------------
    ("expired, no job", {}, lambda w: sent(w, ago=7200), {}, "LIST SAVE POST SAVE GET", "reattached", 1),
    (
        "expired, one job",
        {},
        lambda w: accepted_before(w, "running", ago=7200),
        {},
        "LIST GET SAVE",
        "adopted",
        1,
    ),
    (
        "ignored, no job",
        {"keys": "ignored"},
        lambda w: sent(w),
        {"idempotency": "ignored"},
        "LIST SAVE POST SAVE GET",
        "reattached",
        1,
    ),
    (
        "ignored, one job",
        {"keys": "ignored"},
        lambda w: accepted_before(w, "running"),
        {"idempotency": "ignored"},
        "LIST GET SAVE",
        "adopted",
        1,
    ),
    (
        "ignored, one job that shows our token",
        {"keys": "ignored", "echoes": True},
        lambda w: accepted_before(w, "running"),
        {"idempotency": "ignored"},
        "LIST GET SAVE GET",
        "reattached",
        1,
    ),
    (
        "ignored, one job that another slot owns",
        {"keys": "ignored", "claimed": frozenset({"job_1"})},
        lambda w: (sent(w), w.add_job("succeeded", age=5))[0],
        {"idempotency": "ignored"},
        "LIST SAVE POST SAVE GET",
        "reattached",
        2,
    ),
    (
        "ignored, two jobs",
        {"keys": "ignored"},
        lambda w: (accepted_before(w, "running"), w.add_job("queued", age=3))[0],
        {"idempotency": "ignored"},
        "LIST GET GET",
        "OutcomeUnknownError",
        2,
    ),
    *[
        (f"{mode}, {name}", {"keys": keys}, stored, {"idempotency": mode}, calls, how, jobs)
        for mode, keys in (("unproven", "honoured"), ("unproven", "ignored"))
        for name, stored, calls, how, jobs in (
            (f"lost before, no job, key {keys}", lambda w: sent(w), "LIST SAVE POST SAVE GET", "reattached", 1),
            (
                f"lost before, one job, key {keys}",
                lambda w: accepted_before(w, "running"),
                "LIST GET SAVE",
                "adopted",
                1,
            ),
            *[
                (
                    f"lost {ago:g} s ago, it {end}, key {keys}",
                    lambda w, end=end, ago=ago: accepted_before(w, end, ago=ago),
                    "LIST GET SAVE POST SAVE",
                    "started",
                    2,
                )
                for end, ago in (("failed", 130.0), ("cancelled", 130.0), ("cancelled", 10.0))
            ],
            (
                f"lost a moment ago, it or another's failed, key {keys}",
                lambda w: accepted_before(w, "failed"),
                "LIST GET",
                "busy",
                1,
            ),
            (
                f"lost before, it is cancelling, key {keys}",
                lambda w: accepted_before(w, "canceling"),
                "LIST GET",
                "busy",
                1,
            ),
            (
                f"lost before, one job that was cancelled and one that runs, key {keys}",
                lambda w: (accepted_before(w, "cancelled"), w.add_job("running", age=5))[0],
                "LIST GET GET SAVE",
                "adopted",
                2,
            ),
        )
    ],
    # --- lost in this try -----------------------------------------------------------------------------------------
    ("lost once, honoured", {"lose": 1}, None, {}, "SAVE POST SAVE GET", "started", 1),
    (
        "lost once before the effect, honoured",
        {"lose_before": 1},
        None,
        {},
        "SAVE POST SAVE GET",
        "started",
        1,
    ),
    ("lost for good, honoured", {"lose": 3}, None, {}, "SAVE POST", "TransportError", 1),
    (
        "lost once, ignored",
        {"keys": "ignored", "lose": 1},
        None,
        {"idempotency": "ignored"},
        "SAVE POST LIST GET SAVE",
        "adopted",
        1,
    ),
    ("lost once, unproven", {"lose": 1}, None, {"idempotency": "unproven"}, "SAVE POST LIST GET SAVE", "adopted", 1),
    (
        "lost before the effect, ignored",
        {"keys": "ignored", "lose_before": 1},
        None,
        {"idempotency": "ignored"},
        "SAVE POST LIST SAVE POST SAVE GET",
        "started",
        1,
    ),
    (
        "always lost before the effect, ignored",
        {"keys": "ignored", "lose_before": 9},
        None,
        {"idempotency": "ignored"},
        "SAVE POST LIST SAVE POST LIST SAVE POST LIST SAVE POST",
        "OutcomeUnknownError",
        0,
    ),
    (
        "failed at once, in this try",
        {"lose": 1, "next_status": "failed"},
        None,
        {},
        "SAVE POST SAVE GET",
        "started",
        1,
    ),
    # --- lost, though the key was said to be honoured and is not --------------------------------------------------
    (
        "said to be honoured, is ignored: busy with our own",
        {"keys": "ignored"},
        lambda w: accepted_before(w, "running"),
        {},
        "SAVE POST LIST GET SAVE",
        "adopted",
        1,
    ),
    # --- busy -----------------------------------------------------------------------------------------------------
    (
        "busy, wait",
        {"busy": True},
        others("running"),
        {},
        "SAVE POST SAVE LIST",
        "busy",
        1,
    ),
    (
        "busy, attach",
        {"busy": True},
        others("running"),
        {"if_running": "attach"},
        "SAVE POST SAVE LIST SAVE",
        "adopted",
        1,
    ),
    (
        "busy, attach, cancelling",
        {"busy": True},
        others("cancelling"),
        {"if_running": "attach"},
        "SAVE POST SAVE LIST",
        "ConflictError",
        1,
    ),
    (
        "busy, attach, two",
        {"busy": True},
        others("running", "running"),
        {"if_running": "attach"},
        "SAVE POST SAVE LIST",
        "ConflictError",
        2,
    ),
    ("busy, skip", {"busy": True}, None, {"if_running": "skip"}, "SAVE POST SAVE LIST", "skipped", 0),
    ("busy, fail", {"busy": True}, None, {"if_running": "fail"}, "SAVE POST SAVE LIST", "ConflictError", 0),
    (
        "busy in doubt, nothing of ours",
        {"busy": True},
        lambda w: sent(w),
        {},
        "SAVE POST LIST SAVE LIST",
        "busy",
        0,
    ),
    # --- misuse ---------------------------------------------------------------------------------------------------
    (
        "misused key",
        {},
        lambda w: replace(accepted_before(w, "running"), body='{"metadata":{"other":1}}'),
        {},
        "SAVE POST",
        "ConflictError",
        1,
    ),
]


def come_to(world: Any, record: Record | None, policy: dict[str, Any]) -> str:
    try:
        return world.run(record, **policy).how
    except PlanasonixError as error:
        return type(error).__name__


@kinds
@pytest.mark.parametrize(
    ("given", "stored", "policy", "calls", "comes_to", "jobs"),
    [r[1:] for r in ROWS],
    ids=[r[0] for r in ROWS],
)
def test_row(
    make_world: Any, kind: str, given: Any, stored: Any, policy: Any, calls: str, comes_to: str, jobs: int
) -> None:
    world = make_world(kind=kind, **deepcopy(given))
    record = stored(world) if stored is not None else None
    world.trace.clear()
    assert come_to(world, record, policy) == comes_to
    assert " ".join(world.trace) == calls
    assert len(world.jobs) == jobs


def test_the_ids_of_the_rows_are_unique() -> None:
    names = [row[0] for row in ROWS]
    assert len(names) == len(set(names))


def test_the_ledger_is_written_before_the_post(world: Any) -> None:
    world.run()
    before, after = world.saved[0], world.saved[-1]
    assert before.sent_at == world.now
    assert before.run_id is None
    assert (after.run_id, after.key, after.body) == ("job_1", before.key, before.body)


def test_a_lost_answer_keeps_key_and_bytes_for_the_next_try(world: Any) -> None:
    world.lose = 3
    with pytest.raises(TransportError):
        world.run()
    started = world.run(world.stored)
    assert started.how == "reattached"
    assert len(world.jobs) == 1


def test_the_next_generation_has_a_new_key_and_says_so_in_the_metadata(world: Any) -> None:
    world.run()
    first = world.stored
    world.jobs["job_1"] = replace(world.jobs["job_1"], status="failed")
    world.run(first)
    second = world.stored
    assert (first.generation, second.generation) == (0, 1)
    assert first.key != second.key
    assert '"planasonix_generation":1' in second.body
    assert second.earlier_ids == ("job_1",)


def test_after_a_definite_busy_the_next_start_sends_a_new_key(world: Any) -> None:
    world.busy = True
    world.run()
    refused = world.stored
    world.busy = False
    assert world.run(refused).how == "started"
    assert world.stored.key == refused.key != world.saved[0].key
    assert refused.sent_at is None


@kinds
def test_another_intents_owned_job_is_cancelled_and_ended_before_the_new_one_starts(make_world: Any, kind: str) -> None:
    world = make_world(kind=kind)
    world.run(intent="intent-1")
    first = world.stored
    world.trace.clear()
    started = world.run(first, intent="intent-2")
    assert started.how == "started"
    assert world.trace == ["GET", "CANCEL", "GET", "SAVE", "POST", "SAVE"]
    assert [job.status for job in world.jobs.values()] == ["cancelled", "queued"]


def test_another_intents_adopted_job_is_left_alone(world: Any) -> None:
    job = world.add_job("running")
    started = world.run(replace(known(world, job), owned=False), intent="intent-2")
    assert started.how == "started"
    assert "CANCEL" not in world.trace


def test_another_intents_job_that_does_not_end_is_reported(world: Any) -> None:
    job = world.add_job("running")
    world.ends_after_sleeps[job.id] = 10_000
    with pytest.raises(ConflictError, match="has not ended"):
        world.run(known(world, job), intent="intent-2")
    assert world.posts == 0


@kinds
def test_unknown_outcome_names_the_key_and_the_jobs(make_world: Any, kind: str) -> None:
    world = make_world(kind=kind, keys="ignored")
    record = accepted_before(world, "running")
    world.add_job("queued", age=3)
    with pytest.raises(OutcomeUnknownError) as caught:
        world.run(record, idempotency="ignored")
    assert caught.value.idempotency_key == record.key
    assert f"2 {kind}s were started since: job_" in str(caught.value)
    assert f"Look at the {kind}s of the " in str(caught.value)
    assert "job_1" in str(caught.value)
    assert "job_2" in str(caught.value)


@kinds
@pytest.mark.parametrize("replay", ["live", "saved"])
@pytest.mark.parametrize("crash_at", range(8))
@pytest.mark.parametrize("lose", [0, 1])
def test_a_crash_at_any_step_and_again_the_same_intent_is_one_job(
    make_world: Any, kind: str, replay: str, crash_at: int, lose: int
) -> None:
    world = make_world(kind=kind, replay=replay, lose=lose, crash_at=crash_at)
    try:
        world.run()
    except KeyboardInterrupt:
        world.crash_at = None
        world.run(world.stored)
    assert len(world.jobs) == 1


@pytest.mark.parametrize("crash_at", range(9))
@pytest.mark.parametrize("lose", [0, 1])
def test_a_crash_at_any_step_is_one_run_where_no_key_is_known(make_world: Any, crash_at: int, lose: int) -> None:
    """What the documents say of a pipeline's start: no key. Then a look decides."""
    world = make_world(kind="run", keys="ignored", lose=lose, crash_at=crash_at)
    try:
        world.run(idempotency="unproven")
    except KeyboardInterrupt:
        world.crash_at = None
        assert world.run(world.stored, idempotency="unproven").handle is not None
    assert len(world.jobs) == 1


@kinds
def test_what_keeps_a_target_busy_is_a_run_of_its_kind(make_world: Any, kind: str) -> None:
    world = make_world(kind=kind, busy=True)
    other = world.add_job("running")
    started = world.run()
    assert (started.how, started.busy_kind, started.busy_run_id) == ("busy", kind, other.id)


def test_a_run_that_a_schedule_started_is_not_ours() -> None:
    request = PipelineRunRequest("pl_1")
    for trigger, may in (
        (None, True),
        ("manual", True),
        ("api", True),
        ("schedule", False),
        ("schedule_manual", False),
    ):
        shown = SimpleNamespace(trigger=SimpleNamespace(type=trigger))
        assert request.may_be(request.body({}), shown) is may
    assert request.may_be({}, SimpleNamespace(trigger=None))


def test_a_request_edited_to_another_connection_is_not_answered_with_the_old_ones_job(world: Any) -> None:
    job = world.add_job("succeeded")
    stored = replace(known(world, job), target_id="conn_other")
    assert world.run(stored).how == "started"
    assert len(world.jobs) == 2


def test_an_edited_window_goes_on_with_what_was_asked_for(world: Any) -> None:
    job = world.add_job("running")
    stored = replace(known(world, job), key="plnx-of-another-window")
    assert world.run(stored).how == "reattached"
    assert any("edited" in line for line in world.said)


def test_a_run_that_stays_cancelling_frees_the_worker(world: Any) -> None:
    job = world.add_job("cancelling")
    world.ends_after_sleeps[job.id] = 10_000
    started = world.run(known(world, job))
    assert (started.how, started.busy_run_id, started.busy_kind) == ("busy", job.id, "job")
    assert world.posts == 0


def test_an_older_intents_job_is_left_where_cancelling_is_not_wanted(world: Any) -> None:
    world.run(intent="intent-1")
    first = world.stored
    assert world.run(first, intent="intent-2", cancel_older=False).how == "started"
    assert "CANCEL" not in world.trace


def test_another_request_in_the_same_slot_is_refused_where_asked(world: Any) -> None:
    stored = known(world, world.add_job("succeeded"))
    for other in (replace(stored, target_id="conn_other"), replace(stored, key="plnx-of-another-window")):
        with pytest.raises(ConfigurationError, match="one slot for each request"):
            world.run(other, on_edit="refuse")
    assert world.posts == 0


def test_a_job_that_had_ended_before_we_asked_is_not_ours(world: Any) -> None:
    finished = datetime.fromtimestamp(world.now - 30, UTC)
    world.add_job("succeeded", age=50, finished_at=finished)
    assert world.run(sent(world), idempotency="ignored").how == "reattached"
    assert len(world.jobs) == 2


@pytest.mark.parametrize(("age", "adopted"), [(50, False), (-1, True)])
def test_an_ended_job_whose_end_is_not_told_is_judged_by_its_creation(world: Any, age: int, adopted: bool) -> None:
    found = world.add_job("succeeded", age=age)
    started = world.run(sent(world), idempotency="ignored")
    assert (started.handle.id == found.id) is adopted


def test_a_backfill_of_other_tables_is_not_ours() -> None:
    window = {"start_at": datetime(2026, 1, 1, tzinfo=UTC), "end_at": datetime(2026, 2, 1, tzinfo=UTC)}
    request = BackfillRequest("conn_1", tables=("public.orders",), **window)
    asked = request.body({})
    for tables, may in ((["public.orders"], True), (["public.customers"], False), (None, True)):
        assert request.may_be(asked, SimpleNamespace(tables=tables, **window)) is may
    assert not request.may_be(asked, SimpleNamespace(tables=None, start_at=window["start_at"], end_at=None))


@pytest.mark.parametrize("on_edit", ["keep", "refuse"])
def test_after_a_refusal_the_request_as_it_is_now_is_sent(world: Any, on_edit: str) -> None:
    world.busy = True
    world.run()
    edited = replace(world.stored, key="plnx-of-the-window-then", body='{"metadata":{"edited":1}}')
    world.busy = False
    assert world.run(edited, on_edit=on_edit).how == "started"
    assert "edited" not in world.stored.body


def test_a_refusal_names_the_job_in_the_way(make_world: Any) -> None:
    world = make_world(kind="job", busy=True)
    others("running")(world)
    with pytest.raises(ConflictError, match="is in the way") as caught:
        world.run(None, if_running="fail")
    assert caught.value.existing_job_id in str(caught.value)
    assert caught.value.existing_job_id is not None
