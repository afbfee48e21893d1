"""The sandbox: one state machine behind every door, and the handles that tests turn."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import control, seeding, snapshot
from .access import keys_from
from .calls import Router
from .clock import VirtualClock
from .courier import Courier, post
from .faults import Fault, Faults
from .journal import Entry, Journal
from .pipeline import Pipeline
from .replies import SandboxReply
from .routes import ROUTES
from .state import State
from .switches import Switches, changed, switches_for

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from .doors import SandboxTransport
    from .server import RunningSandbox

DEFAULT_API_KEY = "plnx_live_sandbox"
_ROUTER = Router(ROUTES)
_OPERATIONS = frozenset(route.operation for route in ROUTES)


class Sandbox:
    """An emulated Planasonix tenant.

    Args:
        profile: "strict" does only what is documented, "rich" is the kind tenant.
        seed: the same seed gives the same ids, rows and checksums.
        clock: a `VirtualClock`; left out, real time times `speed` (0: a manual clock).
        api_keys: accepted keys; a mapping gives each its scopes (None: all).
        seed_tenant: start with the connections of `planasonix.sandbox.tenant`.
        **switches: any field of `Switches`.

    Raises ValueError for an unknown profile, switch or value. All methods are thread-safe.
    """

    def __init__(
        self,
        profile: str = "strict",
        *,
        seed: int = 0,
        clock: VirtualClock | None = None,
        speed: float = 1.0,
        api_keys: str | Iterable[str] | Mapping[str, Iterable[str] | None] = (DEFAULT_API_KEY,),
        seed_tenant: bool = True,
        **switches: Any,
    ) -> None:
        self.profile = profile
        self.seed = seed
        self.clock = clock or VirtualClock(speed)
        self._keys = keys_from(api_keys)
        self._first_switches = switches_for(profile, switches)
        self._seed_tenant = seed_tenant
        self._lock = threading.RLock()
        self._courier = Courier(self._deliver_and_next)
        self._build(self._first_switches)

    def _build(self, switches: Switches) -> None:
        self._state = State(switches, seed=self.seed, clock=self.clock, seed_tenant=self._seed_tenant)
        self._pipeline = Pipeline(self._state, _ROUTER, self._keys)
        self._faults = Faults(seeding.generator(self.seed, "faults"), _OPERATIONS)
        self._journal = Journal(self._keys)

    def __repr__(self) -> str:
        return f"<Sandbox {self.profile} seed={self.seed} jobs={len(self._state.jobs.shelf)}>"

    # The one door behind all doors.

    def handle(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> SandboxReply:
        """Answers one request. `path` is percent-encoded and without query; header names in any case."""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        if path == "/sandbox" or path.startswith("/sandbox/"):
            return control.handle(self, method, path, dict(query), body)
        with self._lock:
            self._state.settle()
            pairs = list(query)
            reply, trace = self._pipeline.answer(method, path, pairs, lowered, body, self._faults.strike)
            entry = self._journal.note(
                self._state.now, method, path, pairs, lowered, body, reply.status, trace, seed=self.seed
            )
            if self._state.switches.request_id_header:
                reply.headers["x-request-id"] = entry.request_id
            if self._state.webhooks.by_id:
                self._courier.ensure_running()
        return reply

    # Doors.

    @property
    def api_key(self) -> str:
        """The first accepted key."""
        return next(iter(self._keys))

    def transport(self) -> SandboxTransport:
        """The in-process door, for the client's `transport=`."""
        from .doors import SandboxTransport

        return SandboxTransport(self)

    def asgi(self) -> Starlette:
        """The ASGI door, with the live page at `/`."""
        from .asgi import build_app

        return build_app(self)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> RunningSandbox:
        """Serves over HTTP from a thread; port 0 takes a free one. Use the result in a `with`, or call its `stop`."""
        from .server import RunningSandbox

        running = RunningSandbox(self, host, port)
        # The one before was ended with the server that it belonged to.
        self._courier = Courier(self._deliver_and_next)
        return running

    def close(self) -> None:
        """Ends the delivery thread, if one was started."""
        self._courier.stop()

    # Handles.

    def script(self, target_id: str, outcome: str | None = None, **options: Any) -> None:
        """Scripts the coming jobs of a connection, or runs of a pipeline; see `Script` and `Scripts.set`.

        Raises ValueError for unknown names.
        """
        with self._lock:
            self._state.script(target_id, outcome, **options)

    def fault(self, operation: str, kind: str = "error", **options: Any) -> Fault:
        """Lets coming calls go wrong; see `faults.KINDS` and `faults.Fault`. ValueError: unknown names or ids."""
        with self._lock:
            if (target_id := options.get("connection_id")) is not None:
                self._state.check_target(target_id)
            return self._faults.add(operation, kind, **options)

    def clear_faults(self, connection_id: str | None = None) -> None:
        """All of them, or those that were made for this connection alone."""
        with self._lock:
            self._faults.clear(connection_id)

    def switch(self, **switches: Any) -> None:
        """Changes switches from now on."""
        with self._lock:
            self._state.switches = changed(self._state.switches, switches)

    def advance(self, seconds: float) -> None:
        """Moves virtual time ahead and lets everything happen that is due by then."""
        with self._lock:
            self.clock.advance(seconds)
            self._state.settle()
        self._courier.wake()

    def set_speed(self, speed: float) -> None:
        with self._lock:
            self.clock.set_speed(speed)
        self._courier.wake()

    def finish(self, job_id: str, outcome: str = "succeeded") -> None:
        """Ends a job or a pipeline run now. Raises KeyError for an unknown one."""
        with self._lock:
            state = self._state
            state.settle()
            if run := state.runs.shelf.by_id.get(job_id):
                state.runs.finish(run, state.now, outcome)
            else:
                state.jobs.finish(state.jobs.shelf.by_id[job_id], state.now, outcome)
        self._courier.wake()

    def forget(self, job_id: str) -> None:
        """Lets a job or a pipeline run answer 404 and vanish from lists, as after the end of its retention."""
        with self._lock:
            self._state.jobs.hidden.add(job_id)
            self._state.runs.hidden.add(job_id)

    def reset(self) -> None:
        """Back to the first state: no jobs, scripts, faults, webhooks, journal; first switches. The clock runs on."""
        with self._lock:
            self._build(self._first_switches)

    def deliver(self) -> int:
        """Posts the deliveries that are due, in this thread. Returns how many attempts were made."""
        with self._lock:
            self._state.settle()
            state = self._state
            shipments = state.deliveries.take_due()
        for shipment in shipments:
            status, error = post(shipment)
            with self._lock:
                state.settle()
                state.deliveries.record(shipment, status, error)
        return len(shipments)

    def _deliver_and_next(self) -> float | None:
        """One round of the courier; returns the real seconds until something is due, None when only a wake-up helps."""
        while self.deliver():
            pass
        with self._lock:
            due = self._state.timeline.next_at()
            if due is None or self.clock.is_manual:
                return None
            return max(0.0, self.clock.real_seconds(due - self.clock.time())) + 0.001

    # What happened.

    @property
    def switches(self) -> Switches:
        return self._state.switches

    @property
    def journal(self) -> list[Entry]:
        with self._lock:
            return list(self._journal.entries)

    def calls(self, operation: str | None = None) -> int:
        """How many API calls were made, of all or of one operation."""
        with self._lock:
            counts = self._journal.calls
            return sum(counts.values()) if operation is None else counts[operation]

    def jobs_started(self, connection_id: str | None = None) -> int:
        """How many syncs were started; replays, refusals and the jobs of backfills do not count."""
        with self._lock:
            return self._journal.effect_count("job_started", connection_id)

    def backfills_started(self, connection_id: str | None = None) -> int:
        with self._lock:
            return self._journal.effect_count("backfill_started", connection_id)

    def cancels(self, connection_id: str | None = None) -> int:
        """How many cancel calls stopped a job; those on an ended or stopping job do not count."""
        with self._lock:
            return self._journal.effect_count("job_cancelled", connection_id)

    def runs_started(self, pipeline_id: str | None = None) -> int:
        """How many pipeline runs were started; replays and refusals do not count."""
        with self._lock:
            return self._journal.effect_count("run_started", pipeline_id)

    def run_cancels(self, pipeline_id: str | None = None) -> int:
        """How many cancel calls stopped a pipeline run; those on an ended or stopping one do not count."""
        with self._lock:
            return self._journal.effect_count("run_cancelled", pipeline_id)

    def counts(self, connection_id: str | None = None) -> dict[str, Any]:
        with self._lock:
            return snapshot.counts(self._journal, connection_id)

    def state(self, *, limit: int = 50) -> dict[str, Any]:
        """All that there is; of jobs, backfills, runs, deliveries and calls the newest `limit` of each."""
        with self._lock:
            self._state.settle()
            return snapshot.state(self._state, self._journal, self._faults, self.profile, limit)

    def job(self, job_id: str) -> dict[str, Any]:
        """Everything about one job, also what the profile does not show. Raises KeyError for an unknown one."""
        with self._lock:
            self._state.settle()
            return snapshot.job(self._state.jobs.shelf.by_id[job_id], self._state)

    def jobs(self, connection_id: str | None = None) -> list[dict[str, Any]]:
        """All jobs, oldest first, as `job` shows them."""
        with self._lock:
            self._state.settle()
            rows = list(self._state.jobs.shelf.walk(owner=connection_id))
            return [snapshot.job(row, self._state) for row in reversed(rows)]

    def backfill(self, backfill_id: str) -> dict[str, Any]:
        with self._lock:
            self._state.settle()
            return snapshot.backfill(self._state.backfills.shelf.by_id[backfill_id], self._state)

    def run(self, run_id: str) -> dict[str, Any]:
        """Everything about one pipeline run, its nodes included. Raises KeyError for an unknown one."""
        with self._lock:
            self._state.settle()
            return snapshot.run(self._state.runs.shelf.by_id[run_id], self._state)

    def runs(self, pipeline_id: str | None = None) -> list[dict[str, Any]]:
        """All pipeline runs, oldest first, as `run` shows them."""
        with self._lock:
            self._state.settle()
            rows = list(self._state.runs.shelf.walk(owner=pipeline_id))
            return [snapshot.run(row, self._state) for row in reversed(rows)]
