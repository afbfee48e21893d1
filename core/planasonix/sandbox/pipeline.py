"""The way of one call: route, fault, key, rate, idempotency, handler, fault again, journal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import dialect
from .access import Keys, authenticate, authorize
from .calls import Call, Route, Router
from .faults import Fault
from .idempotency import Saved, fingerprint
from .limits import retry_after
from .reading import Query
from .replies import Answer, Refusal, SandboxReply, encode, invalid
from .run_views import started_run
from .state import State
from .views import started_backfill, started_job

# Visible ASCII, as a header can carry it unchanged.
_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)


@dataclass
class Trace:
    """What the journal wants to know about a call."""

    operation: str = "unknown"
    connection_id: str | None = None
    idempotency_key: str | None = None
    fault: str | None = None
    effect: dict[str, str] = field(default_factory=dict)
    replayed: bool = False


class Pipeline:
    def __init__(self, state: State, router: Router, keys: Keys) -> None:
        self._state = state
        self._router = router
        self._keys = keys

    def answer(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
        strike: Any,
    ) -> tuple[SandboxReply, Trace]:
        """The reply to one call and what to write down about it. `strike(operation, connection_id, ids)` is asked for a
        fault; `ids` are those in the path.
        """
        state, trace = self._state, Trace()
        out_headers: dict[str, str] = {}
        try:
            route, params = self._router.match(method, path)
            trace.operation = route.operation
            call = Call(state, method, path, route.operation, params, Query(query), headers, body)
            trace.connection_id = self._connection_of(route, params, query)
            fault: Fault | None = strike(route.operation, trace.connection_id, params.values())
            if fault is not None:
                trace.fault = fault.label
                if fault.where == "before" and fault.kind != "latency":
                    return self._struck(fault, None), trace
            reply = self._perform(route, call, trace, out_headers)
        except Refusal as refusal:
            fault = None
            reply = self._encode(trace.operation, refusal.answer(), out_headers | refusal.headers)
        reply.delay_seconds += state.switches.latency_seconds
        if fault is not None:
            return self._struck(fault, reply), trace
        return reply, trace

    def _perform(self, route: Route, call: Call, trace: Trace, out_headers: dict[str, str]) -> SandboxReply:
        state = self._state
        try:
            api_key = authenticate(call.headers.get("authorization"), self._keys)
            limit_headers, within = state.limiter.count(api_key, state.clock, state.switches)
            out_headers |= limit_headers
            if not within:
                raise Refusal(429, "Too many requests")
            authorize(api_key, route.scope, self._keys)
            if call.method != "POST":
                return self._run(route, call, trace, out_headers)
            return self._keyed(route, call, trace, out_headers, api_key)
        except Refusal as refusal:
            # Answered here, so that a fault after the effect also spoils a refusal.
            return self._encode(route.operation, refusal.answer(), out_headers | refusal.headers)

    def _keyed(self, route: Route, call: Call, trace: Trace, out_headers: dict[str, str], api_key: str) -> SandboxReply:
        """A POST, which an idempotency key makes safe to repeat."""
        state, switches = self._state, self._state.switches
        key = call.headers.get(switches.idempotency_header.lower())
        trace.idempotency_key = call.idempotency_key = key
        habit = switches.run_idempotency if route.operation == "pipelines.run" else switches.idempotency
        if key is None or habit == "ignored":
            return self._run(route, call, trace, out_headers)
        if not _KEY.fullmatch(key):
            raise invalid(switches.idempotency_header, "malformed")
        mark = fingerprint(call.method, call.path, call.body)
        saved = state.idempotency.find(api_key, key, state.now, switches.idempotency_ttl_seconds)
        if saved is None:
            reply = self._run(route, call, trace, out_headers)
            # A refusal raises before this line: only what took effect is saved.
            state.idempotency.save(api_key, key, Saved(mark, state.now, reply, dict(trace.effect)))
            return reply
        if saved.fingerprint != mark:
            code = "idempotency_key_reuse" if switches.telling_conflicts else None
            raise Refusal(409, "The request differs from the first one with this key", code=code)
        trace.replayed, trace.effect = True, dict(saved.effect)
        if switches.idempotency_replay == "live" and (live := self._live(saved)) is not None:
            return self._encode(route.operation, live, out_headers)
        return SandboxReply(saved.reply.status, saved.reply.headers | out_headers, saved.reply.body)

    def _live(self, saved: Saved) -> Answer | None:
        """The present state of what the first call started, in the shape of the first answer."""
        if job := self._state.jobs.get(saved.effect.get("job_started", "")):
            return Answer(saved.reply.status, started_job(job, self._state))
        if backfill := self._state.backfills.get(saved.effect.get("backfill_started", "")):
            return Answer(saved.reply.status, started_backfill(backfill, self._state))
        if run := self._state.runs.get(saved.effect.get("run_started", "")):
            return Answer(saved.reply.status, started_run(run))
        return None

    def _run(self, route: Route, call: Call, trace: Trace, out_headers: dict[str, str]) -> SandboxReply:
        answer = route.handler(call)
        trace.effect = answer.effect
        return self._encode(route.operation, answer, out_headers)

    def _encode(self, operation: str, answer: Answer, headers: dict[str, str]) -> SandboxReply:
        if self._state.switches.dialect == "vendor":
            answer = dialect.vendor(operation, answer)
        return encode(answer, headers)

    def _struck(self, fault: Fault, reply: SandboxReply | None) -> SandboxReply:
        """The reply as the fault leaves it; `reply` is None when the call was not carried out."""
        state = self._state
        applied = reply is not None
        if fault.kind == "latency":
            assert reply is not None  # noqa: S101 - latency never replaces the call
            reply.delay_seconds += fault.seconds
            return reply
        if fault.kind in ("reset", "refused"):
            drop = "refused" if fault.kind == "refused" else "before"
            return SandboxReply(0, {}, drop=drop, effect_applied=False)
        if fault.kind == "drop":
            return SandboxReply(0, {}, drop="after")
        if fault.kind == "timeout":
            return SandboxReply(0, {}, drop="timeout", effect_applied=applied)
        if fault.kind == "cut" and reply is not None:
            # Of nothing there is no half.
            reply.drop = "cut" if reply.body else "after"
            return reply
        status = 429 if fault.kind == "rate_limit" else fault.status or 503
        headers: dict[str, str] = {}
        if isinstance(fault.retry_after, str):
            headers["retry-after"] = fault.retry_after
        elif fault.retry_after is not None:
            headers["retry-after"] = retry_after(
                fault.retry_after, state.clock, fault.retry_after_format or state.switches.retry_after_format
            )
        if fault.body is not None:
            # Gateways answer in their own words.
            spoiled = SandboxReply(status, {"content-type": "text/html"} | headers, fault.body.encode())
        else:
            spoiled = self._encode("fault", Refusal(status, f"Fault on demand: {status}").answer(), headers)
        spoiled.effect_applied = applied
        return spoiled

    def _connection_of(self, route: Route, params: dict[str, str], query: list[tuple[str, str]]) -> str | None:
        """The connection or pipeline that a call is about, also when it names a job, a backfill or a run."""
        if "connectionId" in params:
            return params["connectionId"]
        if "jobId" in params:
            job = self._state.jobs.get(params["jobId"])
            return job.connection_id if job else None
        if "backfillId" in params:
            backfill = self._state.backfills.get(params["backfillId"])
            return backfill.connection_id if backfill else None
        if route.operation.startswith(("connections.", "pipelines.")) and "id" in params:
            return params["id"]
        if route.operation.startswith("runs.") and "id" in params:
            run = self._state.runs.get(params["id"])
            return run.pipeline_id if run else None
        asked = dict(query)
        return asked.get("connection_id") or asked.get("pipelineId")
