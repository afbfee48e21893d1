"""The rest of the promises, where no exit of the matrix shows them."""

from __future__ import annotations

from tests.scenarios.exits import GOES_ON, GOES_ON_WITH_A_RETRY, GOOD, SILENT_POST, SLOW_POST, STUCK
from tests.scenarios.scenario import MODES, Cell, Expected, Fault, NotApplicable, Scenario, Wish

ONCE = Wish(retries=0)
API_KEY = "{api_key}"
"""Stands for the API key of the run, in what the sandbox is made to say."""

HALF_A_RESULT = (
    '{"data": {"status": "succeeded", "warnings": [], "tables": ['
    '{"name": "public.good", "rows_loaded": 5, "checksum": "c0ffee", "status": "succeeded"},'
    '{"name": "public.bad", "rows_loaded": 0, "checksum": null, "status": "failed"}]}}'
)

PROMISES: tuple[Cell, ...] = tuple(
    cell
    for mode in MODES
    for cell in (
        # --- G1 --------------------------------------------------------------------------------------------------
        Scenario(
            "lost answer", ("G1",), mode, "none",
            "The request had its effect and its answer got lost: it is looked for, not sent as a new one.",
            GOES_ON, script=(GOOD,), faults=(Fault("connections.sync", "drop"),), promise=mode == "deferred",
        ),
        Scenario(
            "retry after a failed job", ("G1",), mode, "none",
            "A job that failed has used its intent's generation up: the retry starts the next one.",
            Expected(2, 0, ("failed", "succeeded"), "succeeded", tries=2), script=({"outcome": "failed"}, GOOD),
        ),
        Scenario(
            "again after success", ("G1",), mode, "again after success",
            "Asking again for what was done is a new wish.",
            Expected(2, 0, ("succeeded", "succeeded"), "succeeded", tries=2), script=(GOOD,), moment="ended",
        ),
        Scenario(
            "busy connection", ("G1", "G3"), mode, "none",
            "Somebody else's job is waited out and never touched.",
            Expected(1, 0, ("succeeded", "succeeded"), "succeeded"), script=(STUCK, GOOD), moment="busy",
        ),
        # --- G2 --------------------------------------------------------------------------------------------------
        Scenario(
            "given up while starting", ("G2",), mode, "mark failed",
            "The answer that comes after the user's decision is awaited, and what it names is cancelled.",
            Expected(1, 1, ("cancelled",), "failed", ("worker",)), moment="starting", faults=(SLOW_POST,),
        ),
        Scenario(
            "backfill given up", ("G2",), mode, "mark failed",
            "A backfill is several jobs: none of them may be left.",
            Expected(1, 1, ("cancelled",), "failed", ("worker",) if mode == "blocking" else ("waiter",)),
            wish=Wish(kind="backfill"),
        ),
        Scenario(
            "opted out", ("G2",), mode, "mark failed",
            "With cancel_on_kill=False the user keeps the job whatever becomes of the task.",
            Expected(1, 0, ("running",), "failed"), wish=Wish(cancel_on_kill=False),
        ),
        # --- G4 --------------------------------------------------------------------------------------------------
        Scenario(
            "lost machine", ("G4",), mode, "lose machine",
            "Nobody is left to tell: once the tool notices, its retry waits for the job that is already running."
            if mode == "blocking"
            else "Lost between effect and answer: the retry looks before it sends, and waits for that job.",
            GOES_ON_WITH_A_RETRY, finish="succeeded",
            moment="waiting" if mode == "blocking" else "posted",
            faults=() if mode == "blocking" else (SILENT_POST,),
        ),
        # --- G5 --------------------------------------------------------------------------------------------------
        Scenario(
            "failed job", ("G5",), mode, "none",
            "A failure is told with the API's own code and words.",
            Expected(1, 0, ("failed",), "failed", says=("source_unavailable", "The source closed the connection.")),
            wish=ONCE, script=({"outcome": "failed"},), promise=mode == "blocking",
        ),
        Scenario(
            "job cancelled by somebody", ("G5",), mode, "job cancelled",
            "Who cancelled it meant it: a retry would start it against their will.",
            Expected(1, 0, ("cancelled",), "failed"),
        ),
        Scenario(
            "unknown status", ("G5",), mode, "none",
            "Only a known word of success is success; a word of tomorrow with an end time is a failure.",
            Expected(1, 0, ("evaporated",), "failed", says=("evaporated",)),
            wish=ONCE, script=({"outcome": "evaporated"},),
        ),
        Scenario(
            "failed table", ("G1", "G5"), mode, "none",
            "A success with a failed table is a failure; the retry starts anew and does not read it again.",
            Expected(2, 0, ("succeeded", "succeeded"), "succeeded", tries=2, says=("public.bad", "public.good")),
            script=(GOOD,), faults=(Fault("jobs.results", "error", 1, {"status": 200, "body": HALF_A_RESULT}),),
        ),
        # --- G6 --------------------------------------------------------------------------------------------------
        Scenario(
            "429 storm", ("G6",), mode, "none",
            "A refusal that names a time is obeyed, and no number of them ends a wait.",
            Expected(1, 0, ("succeeded",), "succeeded", pause_seconds=2.0),
            script=({"outcome": "succeeded", "duration_seconds": 6},),
            faults=(Fault("jobs.get", "rate_limit", 4, {"retry_after": 2}),), promise=mode == "blocking",
        ),
        Scenario(
            "503 storm", ("G6",), mode, "none",
            "Bad answers end no wait, only a terminal one does.",
            GOES_ON, script=({"outcome": "succeeded", "duration_seconds": 4},),
            faults=(Fault("connections.sync", "error", 2, {"status": 503}),
                    Fault("jobs.get", "error", 6, {"status": 503})),
        ),
        # --- G7 --------------------------------------------------------------------------------------------------
        Scenario(
            "metadata both ways", ("G7",), mode, "none",
            "The job says who started it, the task says what came of it: each can be found from the other.",
            GOES_ON, script=(GOOD,), promise=mode == "deferred",
        ),
        # --- G8 --------------------------------------------------------------------------------------------------
        Scenario(
            "key echoed", ("G8",), mode, "none",
            "An API that repeats the key in its refusal must not bring it into logs, errors or the database.",
            Expected(0, 0, (), "failed", says=("echo of",)),
            wish=ONCE, promise=mode == "blocking",
            faults=(Fault("connections.sync", "error", 1,
                          {"status": 422, "body": '{"error": {"message": "echo of ' + API_KEY + '"}}'}),),
        ),
        # --- G9 --------------------------------------------------------------------------------------------------
        NotApplicable(
            "loop of webhooks", mode,
            "Nothing here receives a webhook yet, so that no event starts anything; jobs carry their depth already.",
            ("G9",),
        ),
    )
)  # fmt: skip
