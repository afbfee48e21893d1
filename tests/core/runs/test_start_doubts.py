"""What the state machine of *start* found, each as the shortest story that shows it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from planasonix import Planasonix
from planasonix.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PlanasonixError,
    TransportError,
)
from planasonix.runs import MemoryLedger, effects, is_paused, start_run
from planasonix.runs.decide import Policy, classify
from planasonix.runs.provenance import Provenance
from planasonix.runs.record import Record
from planasonix.runs.requests import PipelineRunRequest, SyncRequest
from planasonix.runs.start import Start
from planasonix.sandbox import Sandbox

HONOURED = Policy(idempotency="honoured")
INTENT = "intent-1"
TOKEN = {"planasonix_intent": INTENT}


def sent(world: Any, *, ago: float) -> Record:
    """A POST went out and nobody saw the answer."""
    record = Record.fresh(INTENT, SyncRequest("conn_1"), Provenance("test", "a test").metadata(INTENT, 0))
    return replace(record, sent_at=world.now - ago)


def accepted(world: Any, *, ago: float = 10.0) -> Record:
    """The same, and the API did accept it: the job runs."""
    record = sent(world, ago=ago)
    job = world.add_job("running", age=ago - 1, metadata=TOKEN)
    world.by_key[record.key] = (job, record.body)
    return record


# --- this wish's own job ------------------------------------------------------------------------------------------


def test_a_job_attached_to_after_a_refusal_that_fails_is_followed_by_one_of_our_own(world: Any) -> None:
    other = world.add_job("running")
    world.busy = True
    assert world.run(if_running="attach").how == "adopted"
    world.jobs[other.id] = replace(world.jobs[other.id], status="failed")
    world.busy = False
    assert world.run(world.stored, if_running="attach").how == "started"
    assert world.stored.owned


@pytest.mark.parametrize("status", ["running", "succeeded", "failed"])
def test_a_job_of_ours_that_cannot_be_read_now_is_waited_for(world: Any, status: str) -> None:
    record = replace(sent(world, ago=60.0), run_id="job_1", created_at=world.now - 60, deadline_at=world.now + 60)
    world.add_job(status, age=60.0, job_id="job_1")
    world.reads_lost = 1
    started = world.run(record)
    assert (started.how, started.handle.id, world.posts) == ("reattached", "job_1", 0)
    assert "cannot be read now" in world.said[0]


def test_what_an_earlier_try_read_need_not_be_read_again(world: Any) -> None:
    record = replace(sent(world, ago=60.0), run_id="job_1", created_at=world.now, deadline_at=world.now)
    record = replace(record, verdict="failed")
    world.add_job("failed", age=60.0, job_id="job_1")
    world.reads_lost = 1
    started = world.run(record)
    assert (started.how, started.handle.generation, world.posts) == ("started", 1, 1)


def test_a_list_that_cannot_be_read_now_is_looked_at_again(world: Any) -> None:
    record = accepted(world, ago=60.0)
    read = world.do
    lost = [1]

    def do(effect: Any) -> Any:
        if isinstance(effect, effects.ListSince) and lost:
            lost.pop()
            raise TransportError("no answer")
        return read(effect)

    world.do, world.echoes = do, True
    assert world.run(record, idempotency="unproven").how == "busy"
    assert world.run(world.stored or record, idempotency="unproven").how == "reattached"
    assert world.posts == 0


def test_a_job_seen_to_be_cancelling_is_not_waited_for_while_the_api_is_away(world: Any) -> None:
    record = replace(sent(world, ago=60.0), run_id="job_1", created_at=world.now - 60, deadline_at=world.now + 60)
    job = world.add_job("cancelling", age=60.0, job_id="job_1")
    world.ends_after_sleeps = {job.id: 3}
    answers = iter([False, True, True])
    read = world.do

    def do(effect: Any) -> Any:
        if isinstance(effect, effects.Get):
            world.reads_lost = int(next(answers, False))
        return read(effect)

    world.do = do
    started = world.run(record)
    assert (started.how, started.handle.generation, world.posts) == ("started", 1, 1)


def test_the_request_of_a_killed_try_may_still_be_on_its_way(world: Any) -> None:
    began = world.now
    world.run(sent(world, ago=0.1), idempotency="unproven", settle_seconds=5.0)
    assert world.trace[0] == "LIST"
    assert world.now >= began + 5.0


@pytest.mark.parametrize(("ago", "first"), [(3_300.0, "SAVE"), (3_590.0, "LIST")])
def test_a_key_is_not_trusted_so_near_its_end_that_the_last_of_the_tries_may_come_after_it(
    world: Any, ago: float, first: str
) -> None:
    world.run(sent(world, ago=ago), key_ttl_seconds=3_600.0)
    assert world.trace[0] == first


def test_a_job_named_a_moment_ago_is_not_given_up_because_its_first_request_is_old(world: Any) -> None:
    record = sent(world, ago=3_000.0)
    named = replace(record, run_id="job_1", created_at=world.now, deadline_at=world.now + 60, named_at=world.now - 1)
    assert world.run(named).how == "reattached"
    assert world.posts == 0
    assert world.run(replace(named, named_at=world.now - 600)).how == "started"


# --- an older wish's start, its outcome unknown --------------------------------------------------------------------


def test_a_lost_start_of_an_older_wish_is_named_by_its_key_and_cancelled_first(world: Any) -> None:
    older = accepted(world)
    assert world.run(older, intent="intent-2").how == "started"
    assert " ".join(world.trace) == "LIST GET SAVE POST SAVE GET CANCEL GET SAVE POST SAVE"
    assert [job.status for job in world.jobs.values()] == ["cancelled", "queued"]


def test_its_id_is_written_down_as_soon_as_it_is_known(world: Any) -> None:
    older = accepted(world)
    world.run(older, intent="intent-2")
    named = next(record for record in world.saved if record.run_id == "job_1")
    assert (named.intent, named.owned, named.key) == (INTENT, True, older.key)
    assert named.deadline_at is not None


def test_a_lost_start_of_an_older_wish_that_shows_our_token_is_cancelled_without_another_post(world: Any) -> None:
    world.echoes = True
    older = accepted(world)
    world.run(older, intent="intent-2", idempotency="unproven")
    assert " ".join(world.trace) == "LIST GET SAVE GET CANCEL GET SAVE POST SAVE"


def test_what_may_be_somebody_elses_is_left_and_named(world: Any) -> None:
    older = accepted(world)
    world.run(older, intent="intent-2", idempotency="unproven")
    assert "CANCEL" not in world.trace
    assert any("job_1" in line and "somebody" in line for line in world.said)


def test_a_lost_start_that_left_nothing_is_not_sent_again(world: Any) -> None:
    assert world.run(sent(world, ago=10.0), intent="intent-2").how == "started"
    assert world.posts == 1
    assert all(token != INTENT for token in (record.intent for record in world.saved))


def test_where_the_key_named_nothing_the_new_wish_goes_on(world: Any) -> None:
    world.add_job("running", age=5.0)
    world.busy = True
    assert world.run(sent(world, ago=10.0), intent="intent-2").how == "busy"
    assert "CANCEL" not in world.trace


@pytest.mark.parametrize("outcome", ["unknown", "not_sent"])
def test_where_the_replay_does_not_come_the_next_try_comes_back_to_it(
    make_world: Any, monkeypatch: Any, outcome: Any
) -> None:
    world = make_world()
    older = accepted(world)

    def out_of_reach(self: Any, effect: Any) -> Any:
        raise TransportError("no answer", outcome=outcome)

    with monkeypatch.context() as patch:
        patch.setattr(make_world, "post", out_of_reach)
        with pytest.raises(TransportError):
            world.run(older, intent="intent-2")
    assert world.stored.intent == INTENT
    assert world.run(world.stored, intent="intent-2").how == "started"
    assert [job.status for job in world.jobs.values()] == ["cancelled", "queued"]


def test_an_older_wishs_job_that_not_every_copy_of_the_store_shows_yet_is_waited_for(
    make_world: Any, monkeypatch: Any
) -> None:
    world = make_world()
    world.run()
    visible_at = world.now + 6.0
    plain = make_world.do

    def lagging(self: Any, effect: Any) -> Any:
        if isinstance(effect, effects.Get) and effect.run_id == "job_1" and self.now < visible_at:
            raise NotFoundError("no such job", status_code=404)
        return plain(self, effect)

    monkeypatch.setattr(make_world, "do", lagging)
    assert world.run(world.stored, intent="intent-2").how == "started"
    assert [job.status for job in world.jobs.values()] == ["cancelled", "queued"]


def test_an_older_wishs_job_that_is_gone_for_good_holds_nobody_up(world: Any) -> None:
    world.run()
    gone = world.stored
    del world.jobs["job_1"]
    world.now += 600.0
    began = world.now
    assert world.run(gone, intent="intent-2").how == "started"
    assert world.now - began <= 10.0


def test_left_running_on_purpose_it_is_not_looked_for(world: Any) -> None:
    assert world.run(accepted(world), intent="intent-2", cancel_older=False).how == "started"
    assert "LIST" not in world.trace


def test_every_error_of_a_post_has_its_kind() -> None:
    lost, none = TransportError("x"), TransportError("x", outcome="not_sent")
    assert [classify(error) for error in (lost, none, PlanasonixError("x"))] == ["lost", "refused", "lost"]
    assert not Policy(idempotency="ignored").key_counts(0.0, 1.0)


@pytest.mark.parametrize(
    ("error", "paused"),
    [
        (ConflictError("no", status_code=409, code="connection_paused"), True),
        (ConflictError("The connection is paused.", status_code=409), True),
        (InvalidRequestError("Paused connections cannot be synced.", status_code=422), True),
        (ConflictError("A sync is running.", status_code=409), False),
        # A code that repeats the status says nothing, and hides nothing.
        *[
            (kind(f"The connection {says}", status_code=status, code=code), True)
            for kind, status, code in (
                (ConflictError, 409, "conflict"),
                (InvalidRequestError, 400, "invalid_request"),
                (InvalidRequestError, 400, "bad_request"),
                (PermissionDeniedError, 403, "forbidden"),
            )
            for says in ("is paused", "has been paused.")
        ],
        (ConflictError("no", status_code=409, code="PAUSED"), True),
        # The word may be part of a name, in the text as in the code.
        *[
            (ConflictError(text, status_code=409, code=code), False)
            for text in (
                "A sync of connection paused_orders is in progress",
                "A sync of connection paused is in progress",
                "unpaused: another sync is running",
                "paused-orders is busy",
                "The connection is unpaused, and busy",
                "This is paused_orders, busy",
            )
            for code in (None, "conflict")
        ],
        (ConflictError("no", status_code=409, code="paused_orders_in_progress"), False),
        (ConflictError("no", status_code=409, code="connection_unpaused"), False),
        # Where there is a code of its own, the text may be about anything.
        (ConflictError("shop_paused_orders is busy: paused", status_code=409, code="sync_in_progress"), False),
        (ConflictError("The connection is paused", status_code=409, code="sync_in_progress"), False),
        (NotFoundError("no connection: paused", status_code=404), False),
        (TransportError("paused"), False),
    ],
)
def test_a_paused_connection_is_refused_and_never_busy(error: PlanasonixError, paused: bool) -> None:
    assert is_paused(error) is paused
    if paused:
        assert classify(error) == "refused"


def test_that_keys_of_jobs_are_honoured_says_nothing_of_an_older_runs_key(world: Any) -> None:
    """The task ran a pipeline before its DAG was edited: sending that start again could make a second run."""
    fields = Record.fresh(INTENT, PipelineRunRequest("pl_1"), {})
    older = replace(fields, sent_at=world.now - 10.0)
    steps = Start(SyncRequest("conn_1"), "intent-2", Provenance("t", "a test"), HONOURED, lambda: world.now).steps(
        older
    )
    alive = SimpleNamespace(id="run_1", status="running", phase="active", created_at=None, pipeline_id="pl_1")
    effect, seen = next(steps), []
    while not (isinstance(effect, effects.Post) and effect.record.operation == "connections.sync"):
        seen.append(type(effect))
        effect = steps.send(
            effects.Listed([alive], 0.0)
            if isinstance(effect, effects.ListSince)
            else frozenset()
            if isinstance(effect, effects.Claimed)
            else alive
        )
    assert effects.ListSince in seen
    assert effects.Post not in seen


def test_what_keys_are_worth_is_told_for_jobs_and_for_runs(monkeypatch: Any) -> None:
    """The strict sandbox honours the keys of jobs and knows none of runs, as its documents have it."""
    monkeypatch.setattr("planasonix.runs.drivers.time.sleep", lambda seconds: None)
    for request, calls in ((SyncRequest("conn_shop_orders"), 2), (PipelineRunRequest("pl_daily_revenue"), 1)):
        sandbox = Sandbox(profile="strict", speed=0)
        sandbox.fault(request.operation, "drop", times=1)
        with Planasonix("plnx_live_sandbox", transport=sandbox.transport(), idempotency="honoured") as client:
            provenance = Provenance("test", "a test")
            started = start_run(client, request, intent=INTENT, ledger=MemoryLedger(), provenance=provenance)
            assert started.handle is not None
            assert (sandbox.calls(request.operation), started.handle.owned) == (calls, calls == 2)
            assert sandbox.jobs_started() + sandbox.runs_started() == 1


@pytest.mark.parametrize(("kind", "target"), [("job", "connection conn_1"), ("run", "pipeline pl_1")])
def test_what_is_not_known_is_told_in_the_words_of_its_kind(make_world: Any, kind: str, target: str) -> None:
    world = make_world(kind=kind)
    record = replace(Record.fresh(INTENT, world.request, {}), sent_at=world.now - 60.0)
    for _ in range(2):
        world.add_job("running", age=10.0)
    with pytest.raises(OutcomeUnknownError, match=f"2 {kind}s were started since: job_1, job_2") as caught:
        world.run(record, idempotency="unproven")
    assert f"no second {kind} starts. Look at the {kind}s of the {target}" in str(caught.value)
