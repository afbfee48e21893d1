"""What holds for every sequence of faults."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from planasonix.engine import Reply
from planasonix.engine.simulate import Timed
from planasonix.errors import TransportError

LOST = TransportError("reset")
NOT_SENT = TransportError("refused", outcome="not_sent")

retry_after = st.sampled_from([None, "0", "1", "3", "40", "rubbish"])


def limited(status, value):
    return Reply(status, {} if value is None else {"retry-after": value})


single = st.one_of(
    st.sampled_from(
        [LOST, NOT_SENT, Reply(200, {}, b"{}"), Reply(200, {}, b"{cut"), Reply(202, {}, b"{}"), Reply(500), Reply(502)]
    ),
    st.builds(Reply, st.sampled_from([400, 401, 403, 404, 408, 409, 422])),
    st.builds(limited, st.sampled_from([429, 503]), retry_after),
)
scripted = st.builds(Timed, st.floats(0, 40), single)
scripts = st.lists(scripted, min_size=40, max_size=40)
repeats = st.sampled_from(["read", "safe", "unsafe"])


def is_unclear(answer):
    """Whether the server may have acted on the request."""
    if isinstance(answer, TransportError):
        return answer.outcome == "unknown"
    return answer.status >= 500 or answer.status == 408 or (answer.status < 300 and answer.body == b"{cut")


@settings(max_examples=150, deadline=None)
@given(scripts, repeats, st.integers(1, 8), st.floats(0.5, 300))
def test_every_call_keeps_the_rules(simulate, script, repeat, max_tries, deadline_seconds):
    world = simulate()
    outcome = world.call(
        script,
        repeat,
        max_tries=max_tries,
        deadline_seconds=deadline_seconds,
        headers={"idempotency-key": "k"},
        body=b"bytes",
    )
    sent = outcome.transport.sent
    # What each request really met: a slow answer is a lost one.
    met = [t.answer if t.seconds <= s.timeout_seconds else LOST for t, s in zip(script, sent, strict=False)]

    assert len(sent) <= max_tries
    assert world.clock.now <= deadline_seconds + 1e-6
    assert {(s.request.body, s.request.headers["idempotency-key"]) for s in sent} <= {(b"bytes", "k")}
    if repeat == "unsafe":
        assert not any(is_unclear(answer) for answer in met[:-1])
    for answer in met[:-1]:
        assert isinstance(answer, TransportError) or answer.status not in (400, 401, 403, 404, 409, 422)
    for before, after, timed, answer in zip(sent, sent[1:], script, met, strict=False):
        pause = answer.headers.get("retry-after") if isinstance(answer, Reply) else None
        if pause and pause.isdigit():
            assert after.at >= before.at + timed.seconds + float(pause)
    if outcome.error is not None and sent:
        assert len(outcome.error.attempts) == len(sent)
        if repeat != "read" and any(is_unclear(answer) for answer in met):
            assert outcome.error.outcome == "unknown"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from([None, "2", "9"])), min_size=2, max_size=12))
def test_no_caller_undercuts_a_pause_that_another_was_given(simulate, calls):
    world = simulate()
    paused_until = 0.0
    for gap, value in calls:
        world.clock.advance(gap)
        outcome = world.call([limited(429, value)], max_tries=1, deadline_seconds=None)
        assert outcome.sent_at[0] >= paused_until
        if value:
            paused_until = max(paused_until, outcome.sent_at[0] + float(value))
