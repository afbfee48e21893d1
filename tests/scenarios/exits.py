"""The exit matrix: every way out of a waiting task, in both modes (G2, G3, G4)."""

from __future__ import annotations

from tests.scenarios.scenario import Cell, Expected, Fault, NotApplicable, Scenario, Wish

STUCK, GOOD = {"outcome": "stuck"}, {"outcome": "succeeded"}
SLOW_POST = Fault("connections.sync", "latency", options={"seconds": 3})
VERY_SLOW_POST = Fault("connections.sync", "latency", options={"seconds": 6})
SILENT_POST = Fault("connections.sync", "timeout", options={"where": "after", "seconds": 60})

GIVEN_UP_BY_WORKER = Expected(1, 1, ("cancelled",), "failed", ("worker",))
GIVEN_UP_BY_WAITER = Expected(1, 1, ("cancelled",), "failed", ("waiter",))
GOES_ON = Expected(1, 0, ("succeeded",), "succeeded")
GOES_ON_WITH_A_RETRY = Expected(1, 0, ("succeeded",), "succeeded", tries=2)
ONLY_WORKERS_WAIT = "Only a worker waits in this mode: what becomes of the waiters' process does not touch the task."

EXITS: tuple[Cell, ...] = (
    Scenario(
        "user kill", ("G2",), "blocking", "user kill",
        "Who stops the run wants no job of it; the worker lives on for seconds and asks why it was stopped.",
        GIVEN_UP_BY_WORKER,
    ),
    Scenario(
        "user kill", ("G2",), "deferred", "user kill",
        "The waiter is told that its task is gone, asks the task's state, and finds it failed.",
        GIVEN_UP_BY_WAITER,
    ),
    Scenario(
        "worker evicted", ("G3", "G4"), "blocking", "evict worker",
        "A drained node gives nothing up: the task is running still, so its job is left, and the retry waits for it.",
        GOES_ON_WITH_A_RETRY, finish="succeeded", promise=True,
    ),
    Scenario(
        "worker evicted", ("G1", "G3"), "deferred", "evict worker",
        "Only the start has a worker here: evicted with the request under way, the retry finds its job.",
        GOES_ON_WITH_A_RETRY, moment="starting", faults=(VERY_SLOW_POST,), finish="succeeded",
    ),
    Scenario(
        "worker killed", ("G4",), "blocking", "kill worker",
        "The ledger was written before the request: the retry finds the job and waits for it.",
        GOES_ON_WITH_A_RETRY, finish="succeeded", promise=True,
    ),
    Scenario(
        "worker killed", ("G1", "G4"), "deferred", "kill worker",
        "Killed between effect and answer: the retry looks before it sends, and waits for that job.",
        GOES_ON_WITH_A_RETRY, moment="posted", faults=(SILENT_POST,), finish="succeeded", promise=True,
    ),
    Scenario(
        "again while running", ("G1", "G2"), "blocking", "again while running",
        "Asking again is a new wish and a new job; the old try or the new one cancels the old job first.",
        Expected(2, 1, ("cancelled", "succeeded"), "succeeded", ("worker", "next try"), tries=2), script=(STUCK, GOOD),
    ),
    Scenario(
        "again while running", ("G1", "G2"), "deferred", "again while running",
        "Cleared with the request under way: the answer is awaited and its job cancelled, or the new try finds it.",
        Expected(2, 1, ("cancelled", "succeeded"), "succeeded", ("worker", "next try"), tries=2),
        moment="starting", faults=(SLOW_POST,), script=(STUCK, GOOD),
    ),
    NotApplicable("again while deferred", "blocking", "A blocking task is never deferred."),
    Scenario(
        "again while deferred", ("G1", "G2"), "deferred", "again while deferred",
        "The old waiter's end and the new try come in any order: either cancels, then the new one starts.",
        Expected(2, 1, ("cancelled", "succeeded"), "succeeded", ("waiter", "next try"), tries=2), script=(STUCK, GOOD),
    ),
    Scenario(
        "mark failed", ("G2",), "blocking", "mark failed",
        "The user has decided how the task ends: its job is wanted no more, and there is no retry.",
        GIVEN_UP_BY_WORKER,
    ),
    Scenario(
        "mark failed", ("G2",), "deferred", "mark failed",
        "As in blocking mode; here the waiter is the one who is told.",
        GIVEN_UP_BY_WAITER, promise=True,
    ),
    Scenario(
        "mark success", ("G2",), "blocking", "mark success",
        "Whoever calls the task done does not wait for the job any more; left alone it would load for nobody.",
        Expected(1, 1, ("cancelled",), "succeeded", ("worker",)),
    ),
    Scenario(
        "mark success", ("G2",), "deferred", "mark success",
        "As in blocking mode.",
        Expected(1, 1, ("cancelled",), "succeeded", ("waiter",)),
    ),
    Scenario(
        "tool's timeout", ("G2",), "blocking", "tool's timeout",
        "The user's own limit has passed: the job is given up, by the worker in which the limit struck.",
        GIVEN_UP_BY_WORKER, wish=Wish(retries=0, tool_timeout_seconds=20),
    ),
    Scenario(
        "tool's timeout", ("G2",), "deferred", "tool's timeout",
        "Tools forget their limit while no worker is held: our deadline follows it, the woken worker cancels.",
        GIVEN_UP_BY_WORKER, wish=Wish(retries=0, tool_timeout_seconds=20),
    ),
    Scenario(
        "our timeout", ("G2",), "blocking", "our timeout",
        "Past the job's deadline it is cancelled, then the task fails, and says what the job was seen doing.",
        Expected(1, 1, ("cancelled",), "failed", ("worker",), says=("had not ended",)),
        wish=Wish(retries=0, timeout_seconds=8),
    ),
    Scenario(
        "our timeout", ("G2",), "deferred", "our timeout",
        "The waiter sees the deadline pass; the worker that it wakes cancels and tells.",
        Expected(1, 1, ("cancelled",), "failed", ("worker",), says=("had not ended",)),
        wish=Wish(retries=0, timeout_seconds=8),
    ),
    NotApplicable("waiter crash", "blocking", ONLY_WORKERS_WAIT),
    Scenario(
        "waiter crash", ("G3", "G4"), "deferred", "waiter crash",
        "Broken code says nothing of anybody's will: the try fails, the job goes on, and the retry waits for it.",
        GOES_ON_WITH_A_RETRY, finish="succeeded",
    ),
    NotApplicable("waiters killed", "blocking", ONLY_WORKERS_WAIT),
    Scenario(
        "waiters killed", ("G3", "G4"), "deferred", "waiters killed",
        "The wait is stored: the next process goes on with it, within the same try.",
        GOES_ON, finish="succeeded",
    ),
    NotApplicable("waiters restarted", "blocking", ONLY_WORKERS_WAIT),
    Scenario(
        "waiters restarted", ("G3",), "deferred", "waiters restarted",
        "A redeploy gives nothing up: the waiter that ends with its process cancels nothing.",
        GOES_ON, finish="succeeded",
    ),
    NotApplicable("waiters down during a kill", "blocking", ONLY_WORKERS_WAIT),
    Scenario(
        "waiters down during a kill", ("G2",), "deferred", "waiters down",
        "No process was alive to be told; the ledger names the job, and reconcile finds that its task has ended.",
        Expected(1, 1, ("cancelled",), "failed", ("reconcile",)),
    ),
    NotApplicable("two waiters, one frozen", "blocking", ONLY_WORKERS_WAIT),
    Scenario(
        "two waiters, one frozen", ("G3",), "deferred", "two waiters",
        "The process that comes back is told to end a waiter that lives on elsewhere: the task still waits.",
        GOES_ON, finish="succeeded",
    ),
    Scenario(
        "siblings", ("G1", "G2"), "blocking", "mark failed",
        "Siblings are wishes of their own: the one that is given up takes no other with it.",
        Expected(3, 1, ("succeeded", "cancelled", "succeeded"), "failed", ("worker",)),
        wish=Wish(siblings=3), finish="succeeded",
    ),
    Scenario(
        "siblings", ("G1", "G2"), "deferred", "mark failed",
        "As in blocking mode; the waiter must ask for its own sibling's state, not for the task's.",
        Expected(3, 1, ("succeeded", "cancelled", "succeeded"), "failed", ("waiter",)),
        wish=Wish(siblings=3), finish="succeeded",
    ),
)  # fmt: skip
