"""Everything one sandbox knows, and the acts that create work in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import seeding
from .backfills import Backfill, BackfillBook, shard_count, shard_outcome
from .clock import VirtualClock
from .connections import Connection
from .deliveries import Deliveries
from .idempotency import IdempotencyStore
from .jobs import BACKFILL, SYNC, Job, JobBook
from .limits import RateLimiter
from .near import near_or_all
from .pipeline_runs import PipelineRun, RunBook
from .pipelines import Pipeline, seeded_pipelines
from .scripts import EVERYTHING, Script, Scripts
from .switches import Switches
from .tenant import seeded_connections
from .timeline import Timeline
from .webhooks import WebhookBook

# Between a job of a backfill and the one that takes its place: a failure is known before the next one begins.
_HANDOVER_SECONDS = 0.5
TABLE_NOT_FOUND = "table_not_found"


class State:
    """The tenant, its work and its clock. Not thread-safe: the `Sandbox` holds a lock around it."""

    def __init__(self, switches: Switches, *, seed: int, clock: VirtualClock, seed_tenant: bool) -> None:
        self.switches = switches
        self.seed = seed
        self.clock = clock
        self.timeline = Timeline()
        self.ids = seeding.Ids(seed)
        # The present of the call at hand: one instant for everything that the call does.
        self.now = clock.time()
        self.connections: dict[str, Connection] = seeded_connections(seed, self.now) if seed_tenant else {}
        self.pipelines: dict[str, Pipeline] = seeded_pipelines(seed, self.now) if seed_tenant else {}
        habits = {each.id: each.habits for each in self.connections.values()}
        self.scripts = Scripts(habits | {each.id: each.habits for each in self.pipelines.values()})
        self.jobs = JobBook(self.timeline)
        self.backfills = BackfillBook(self.jobs)
        self.runs = RunBook(self.timeline)
        self.webhooks = WebhookBook()
        self.deliveries = Deliveries(self)
        self.idempotency = IdempotencyStore()
        self.limiter = RateLimiter()
        self.jobs.on_end.append(self.deliveries.job_ended)
        self.backfills.on_end.append(self.deliveries.backfill_ended)

    def settle(self) -> None:
        """Lets everything happen that is due by now."""
        self.now = max(self.now, self.clock.time())
        self.timeline.settle(self.now)

    def script(self, target_id: str, outcome: str | None, **options: Any) -> None:
        """Scripts the coming work of a connection or pipeline. Raises ValueError for one that does not exist now."""
        if target_id != EVERYTHING:
            self.check_target(target_id)
        self._check_that_it_strikes(target_id, options)
        self.scripts.set(target_id, outcome, **options)

    def check_target(self, target_id: object) -> None:
        """Raises ValueError for what is neither a connection nor a pipeline now."""
        known = [*self.connections, *self.pipelines]
        if target_id not in known:
            raise ValueError(f"no connection or pipeline {target_id!r} here: {near_or_all(target_id, known)}")

    def _check_that_it_strikes(self, target_id: str, options: Mapping[str, Any]) -> None:
        """Raises ValueError for a script that could never have an effect."""
        kind, pipeline = options.get("kind"), self.pipelines.get(target_id)
        if kind is not None and target_id != EVERYTHING and (kind == "run") != (pipeline is not None):
            raise ValueError(f"{target_id} never starts a {kind}")
        nodes = {node.id for node in pipeline.nodes} if pipeline else None
        for step in (options, *(options.get("sequence") or ())):
            failed_node = step.get("failed_node")
            if failed_node is not None and nodes is not None and failed_node not in nodes:
                raise ValueError(f"{target_id} has no node {failed_node!r}: {near_or_all(failed_node, nodes)}")

    def start_sync(
        self,
        connection: Connection,
        *,
        pipeline_id: str | None,
        priority: str | None,
        metadata: dict[str, Any] | None,
        idempotency_key: str | None,
    ) -> Job:
        plan = self.scripts.next(connection.id, "sync")
        job = self._job(SYNC, connection, plan, connection.qualified_tables(), pipeline_id=pipeline_id)
        job.priority, job.metadata, job.idempotency_key = priority, metadata, idempotency_key
        self.jobs.add(job, in_line=self.switches.busy == "queue")
        return job

    def start_backfill(
        self,
        connection: Connection,
        *,
        start: float,
        end: float,
        tables: list[str] | None,
        priority: str | None,
        metadata: dict[str, Any] | None,
        idempotency_key: str | None,
    ) -> Backfill:
        plan = self.scripts.next(connection.id, "backfill")
        known = list(plan.tables) if plan.tables is not None else connection.qualified_tables()
        backfill = Backfill(
            id=self.ids.new("bf"),
            seq=len(self.backfills.shelf),
            connection_id=connection.id,
            created=self.now,
            start=start,
            end=end,
            tables=tables if tables is not None else known,
            priority=priority,
            metadata=metadata,
            idempotency_key=idempotency_key,
        )
        held_back = self._seconds_until_free(connection.id)
        for index in range(shard_count(start, end, self.switches.backfill_shard_days)):
            job = self._job(BACKFILL, connection, plan, backfill.tables, shard=index)
            round_number = index // self.switches.backfill_concurrency
            job.delay = held_back + plan.queue_seconds + round_number * (plan.duration_seconds + _HANDOVER_SECONDS)
            job.priority, job.metadata, job.backfill_id = priority, metadata, backfill.id
            backfill.jobs.append(job)
        self.backfills.add(backfill)
        for job in backfill.jobs:
            self.jobs.add(job, in_line=False)
        return backfill

    def start_run(
        self,
        pipeline: Pipeline,
        *,
        variables: dict[str, Any] | None,
        environment_id: str | None,
        idempotency_key: str | None,
    ) -> PipelineRun:
        run_id = self.ids.new("run")
        run = PipelineRun(
            id=run_id,
            seq=len(self.runs.shelf),
            pipeline_id=pipeline.id,
            created=self.now,
            plan=self.scripts.next(pipeline.id, "run"),
            nodes=pipeline.nodes,
            rows=seeding.between(pipeline.rows // 2, pipeline.rows, self.seed, run_id),
            variables=variables,
            environment_id=environment_id,
            idempotency_key=idempotency_key,
        )
        self.runs.add(run)
        return run

    def _seconds_until_free(self, connection_id: str) -> float:
        """With `busy="queue"`, how long the backfills before this one are planned to take."""
        if self.switches.busy != "queue" or not (before := self.backfills.active(connection_id)):
            return 0.0
        ends = [job.created + job.delay + job.duration for job in before.jobs]
        return max(0.0, max(ends) - self.now)

    def _job(
        self,
        job_type: str,
        connection: Connection,
        plan: Script,
        tables: list[str],
        *,
        pipeline_id: str | None = None,
        shard: int = 0,
    ) -> Job:
        job_id = self.ids.new("job")
        if job_type == BACKFILL:
            plan = Script(**{**_as_options(plan), "outcome": shard_outcome(plan.outcome, plan.shard, shard)})
        scripted = plan.tables
        if scripted is not None and job_type == SYNC:
            tables = list(scripted)
        rows: list[tuple[str, int, str]] = []
        warnings = [dict(each) for each in plan.warnings]
        for name in tables:
            if scripted is not None:
                count = scripted.get(name)
            else:
                most = connection.tables.get(name.removeprefix(f"{connection.schema}."))
                count = None if most is None else seeding.between(most // 2, most, self.seed, job_id, name)
            if count is None:
                warnings.append({"code": TABLE_NOT_FOUND, "message": f"Table {name} does not exist in the source"})
                continue
            rows.append((name, count, seeding.checksum(self.seed, job_id, name, count)))
        return Job(
            id=job_id,
            seq=len(self.jobs.shelf) + shard,
            type=job_type,
            connection_id=connection.id,
            pipeline_id=pipeline_id,
            created=self.now,
            plan=plan,
            tables=rows,
            warnings=warnings,
            delay=plan.queue_seconds,
            duration=plan.duration_seconds,
        )


def _as_options(plan: Script) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}
