"""The table of `wish_of`, row by row."""

import pytest

from dagster_planasonix.intent import Slot, Written, wish_of

SLOT = Slot("root", "load", "conn_1")
FIRST = SLOT.token("root")


@pytest.mark.parametrize(
    ("lineage", "entries", "succeeded", "wish", "goes_on_from"),
    [
        pytest.param(["root"], [], [], "root", None, id="nothing was sent: a new wish"),
        pytest.param(["again", "root"], [], [], "again", None, id="nothing was sent by the parent either"),
        pytest.param(["root"], [("root", "root")], [], "root", 0, id="a retry of the step"),
        pytest.param(["again", "root"], [("root", "root")], [], "root", 0, id="a re-execution of a bad step"),
        pytest.param(
            ["third", "again", "root"], [("root", "root")], [], "root", 0, id="its parent never came to the step"
        ),
        pytest.param(
            ["third", "again", "root"],
            [("again", "root"), ("root", "root")],
            [],
            "root",
            0,
            id="a second re-execution goes on from the newest entry",
        ),
        pytest.param(["again", "root"], [("root", "root")], ["root"], "again", 0, id="re-execute all of a good run"),
        pytest.param(
            ["again", "root"],
            [("again", "again"), ("root", "root")],
            ["root"],
            "again",
            0,
            id="a retry of the step after that",
        ),
        pytest.param(
            ["sister", "root"],
            [("again", "root"), ("root", "root")],
            [],
            "root",
            0,
            id="two re-executions of a bad step serve one wish",
        ),
        pytest.param(
            ["sister", "root"],
            [("again", "root"), ("root", "root")],
            ["again"],
            "sister",
            1,
            id="somebody has had its result",
        ),
        pytest.param(
            ["sister", "root"],
            [("again", "again"), ("root", "root")],
            ["root"],
            "sister",
            1,
            id="two re-executions of a good run are two wishes, and leave each other alone",
        ),
    ],
)
def test_the_table(
    lineage: list[str],
    entries: list[tuple[str, str]],
    succeeded: list[str],
    wish: str,
    goes_on_from: int | None,
) -> None:
    written = [Written(run_id, SLOT.token(began)) for run_id, began in entries]
    assert wish_of(SLOT, lineage, written, lambda run_id: run_id in succeeded) == (SLOT.token(wish), goes_on_from)


@pytest.mark.parametrize(
    ("lineage", "is_run_retry", "wish"),
    [
        pytest.param(["root"], False, "root", id="a retry of the step"),
        pytest.param(["again", "root"], False, "again", id="a re-execution"),
        pytest.param(["again", "root"], True, "root", id="a run retry"),
    ],
)
def test_a_step_that_failed_over_what_it_had_told(lineage: list[str], is_run_retry: bool, wish: str) -> None:
    entries = [Written("root", FIRST), Written("root", FIRST, told=True), Written("root", FIRST)]
    decided = wish_of(SLOT, lineage, entries, lambda run_id: False, is_run_retry=is_run_retry)
    assert decided == (SLOT.token(wish), 0)


def test_only_runs_that_served_the_wish_are_asked_for_their_end() -> None:
    asked: list[str] = []

    def has_succeeded(run_id: str) -> bool:
        asked.append(run_id)
        return False

    wish_of(SLOT, ["again", "root"], [Written("root", FIRST), Written("root", FIRST)], has_succeeded)
    wish_of(SLOT, ["root"], [Written("root", FIRST)], has_succeeded)
    assert asked == ["root"]


def test_what_makes_another_slot() -> None:
    others = [
        Slot("root2", "load", "conn_1"),
        Slot("root", "load2", "conn_1"),
        Slot("root", "load", "conn_2"),
        Slot("root", "load", "conn_1", "2026-01-01"),
    ]
    assert len({slot.name for slot in (SLOT, *others)}) == 5
    assert len({slot.token("root") for slot in (SLOT, *others[1:])}) == 4
    assert SLOT.name == Slot("root", "load", "conn_1").name
    assert SLOT.name.startswith("conn_1/")
