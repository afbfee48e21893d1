"""Many waits under a rate limit: nothing is refused, and nobody waits long for the news.

In virtual time, with the real client and its pacer, against the sandbox. The design's figure is 10,000 jobs under 1,200
calls a minute; here it is a tenth of both, the whole is measured by the benchmarks.
"""

from __future__ import annotations

from benchmarks.scale_rate import simulate


def test_many_waits_keep_within_the_rate_limit() -> None:
    result = simulate(1_000, 120)
    late = sorted(result.late)
    assert len(late) == 1_000
    assert result.refused_after_warm_up == 0
    assert late[990] <= 30.0
    # A tenth of the limit is a coarser budget: the last calls of a window are spread over what is left of it.
    assert late[-1] <= 45.0
    assert result.calls <= 2_000


def test_a_limit_that_nobody_reaches_delays_nothing() -> None:
    result = simulate(200, 1_200, shortest_seconds=60.0, longest_seconds=300.0)
    assert result.refused_at == []
    assert max(result.late) <= 22.0
