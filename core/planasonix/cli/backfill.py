"""`planasonix backfill`: load a window's history, stage by stage, and go on where an earlier call ended."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import click

from planasonix.errors import ConfigurationError, PlanasonixError, RunCancelledError, RunFailedError
from planasonix.watch import Interval

if TYPE_CHECKING:
    from planasonix import Planasonix
    from planasonix.runs import Book, IfRunning, PlannedStage, Policy, StagedBackfill, StagedOutcome, StagedProgress

FAILED, SKIPPED, INTERRUPTED = 1, 3, 130


@click.command("backfill")
@click.argument("connection_id")
@click.option("--start-at", required=True, metavar="TIME", help="Begin of the window, ISO 8601 with an offset.")
@click.option("--end-at", required=True, metavar="TIME", help="Its end, which is not loaded any more.")
@click.option("--tables", multiple=True, metavar="NAME", help="A table; may be repeated.  [default: all]")
@click.option("--stage", metavar="LENGTH", help="Cut the window, as in 6h, 1d, 1w, 1mo.  [default: one stage]")
@click.option("--timezone", default="UTC", show_default=True, help="Whose days, weeks and months the stages are.")
@click.option("--priority", metavar="WORD", help="The priority that the API is told.")
@click.option("--max-active-stages", default=1, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--stop-after-failures",
    default=3,
    show_default=True,
    type=click.IntRange(min=0),
    help="Start nothing new after so many failures in a row; 0: never stop.",
)
@click.option(
    "--if-running",
    type=click.Choice(["wait", "attach", "skip", "fail"]),
    default="wait",
    show_default=True,
    help="While another job keeps the connection busy: wait for it; attach to a backfill of the very same window; "
    "skip, with exit code 3; or fail.",
)
@click.option("--timeout", "timeout_seconds", default=86_400.0, show_default=True, help="Seconds for each stage.")
@click.option(
    "--poll-interval",
    "poll_interval_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Pause between two looks.  [default: a tenth of the backfill's age, "
    f"{Interval().shortest_seconds:g} to {Interval().longest_seconds:g}]",
)
@click.option("--ledger", metavar="FILE", help="Remember in this SQLite file what is done; needed to go on later.")
@click.option("--name", metavar="NAME", help="With --ledger: what this backfill is called.  [default: its connection]")
@click.option(
    "--on-clear",
    type=click.Choice(["resume", "restart"]),
    help="Keep what is loaded, or load all again.  [default: keep, unless the last call succeeded]",
)
@click.option("--plan", is_flag=True, help="Only list what is done and what is to do; calls nothing.")
@click.option("--output", default="text", show_default=True, type=click.Choice(["text", "json"]))
def command(
    connection_id: str,
    start_at: str,
    end_at: str,
    tables: tuple[str, ...],
    stage: str | None,
    timezone: str,
    priority: str | None,
    max_active_stages: int,
    stop_after_failures: int,
    if_running: IfRunning,
    timeout_seconds: float,
    poll_interval_seconds: float | None,
    ledger: str | None,
    name: str | None,
    on_clear: str | None,
    plan: bool,
    output: str,
) -> None:
    """Load the half-open window [start, end) of a connection, stage by stage.

    With --ledger a later call with the same name goes on where this one failed or was killed: what is loaded is not
    loaded again, what still runs is waited for. Ctrl-C or SIGTERM cancels what this call started. The tenant comes from
    PLANASONIX_API_KEY and PLANASONIX_BASE_URL.

    Exit codes: 0 all stages are loaded, 1 not all of them are, 2 wrong arguments, 3 skipped, 130 interrupted.
    """
    from planasonix.runs import Policy

    if name is not None and ledger is None:
        raise click.UsageError("--name goes with --ledger.")
    if name is not None and (not name or "/" in name):
        # In a ledger `name/stage` is a slot: `a/b` would also be a stage of the backfill `a`.
        raise click.UsageError(f"--name takes a name without '/', got {name!r}.")
    try:
        asked = _asked(
            connection_id,
            (start_at, end_at),
            stage,
            timezone,
            tables=tables or None,
            priority=priority,
            max_active_stages=max_active_stages,
            stop_after_failures=stop_after_failures or None,
            on_clear=on_clear,
        )
        book = _book(ledger, name or connection_id)
        if plan:
            _tell_plan(book, asked, output)
        else:
            interval = Interval(fixed_seconds=poll_interval_seconds)
            policy = Policy(timeout_seconds=timeout_seconds, if_running=if_running)
            with _held(book):
                _run(book, asked, policy, interval, output, remembered=ledger is not None)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None


def _asked(
    connection_id: str, window: tuple[str, str], stage: str | None, timezone: str, **more: Any
) -> StagedBackfill:
    from planasonix.runs import BackfillRequest, StagedBackfill, plan_partitions, plan_stages

    stages = plan_stages(*window, stage, timezone=timezone) if stage else plan_partitions([window])
    request = BackfillRequest(
        connection_id, stages[0].start_at, stages[-1].end_at, more.pop("tables"), more.pop("priority")
    )
    return StagedBackfill(request, stages, **more)


def _book(ledger: str | None, name: str) -> Book:
    from planasonix.runs import MemoryBook, SqliteBook

    return MemoryBook() if ledger is None else SqliteBook(ledger, name)


def _held(book: Book) -> AbstractContextManager[None]:
    """Of two processes on one name each would count the other's failures as old ones, and start the stage again."""
    from planasonix.runs import SqliteBook

    return book.held() if isinstance(book, SqliteBook) else nullcontext()


def _run(
    book: Book, asked: StagedBackfill, policy: Policy, interval: Interval, output: str, *, remembered: bool
) -> None:
    from planasonix import Planasonix
    from planasonix.runs import Provenance, run_stages_to_end

    with Planasonix() as client, _interruptible() as stop, _progress(len(asked.stages), output) as on_progress:
        try:
            outcome = run_stages_to_end(
                client,
                asked,
                book=book,
                provenance=Provenance("cli", "planasonix backfill"),
                policy=replace(policy, idempotency=client.config.idempotency),
                interval=interval,
                on_progress=on_progress,
                log=_log,
                stop=stop,
            )
        except KeyboardInterrupt:
            _give_up(client, book)
        except (RunFailedError, RunCancelledError) as error:
            _tell(error.outcome_data, str(error), output)
            raise SystemExit(FAILED) from None
        except PlanasonixError:
            if not remembered:  # no later call could find what runs
                _cancel(client, book)
            raise
        _tell_outcome(outcome, output)
    if outcome.status == "skipped":
        raise SystemExit(SKIPPED)


def _give_up(client: Planasonix, book: Book) -> NoReturn:
    click.echo("Interrupted: cancelling what runs. Once more to leave it running.", err=True)
    try:
        _cancel(client, book)
    except KeyboardInterrupt:
        click.echo("Left as it is.", err=True)
    raise SystemExit(INTERRUPTED) from None


def _cancel(client: Planasonix, book: Book) -> None:
    from planasonix.runs import cancel_stages

    for sentence in cancel_stages(client, book, log=_log):
        click.echo(sentence, err=True)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets, so that no POST is torn from its answer; a second one raises."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(total: int, output: str) -> Iterator[Any]:
    """A bar on a terminal, else a line on standard error for each change."""
    if output == "text" and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("stages", total=total)
            yield lambda progress: bar.update(task, completed=progress.done, description=_state(progress))
        return
    last = ""

    def tell(progress: StagedProgress) -> None:
        nonlocal last
        line = f"{progress.done} of {total} stages done, {_state(progress)}"
        if line != last:
            click.echo(line, err=True)
        last = line

    yield tell


def _state(progress: StagedProgress) -> str:
    ids = ", ".join(handle.id for handle in progress.active)
    state = f"running: {ids}" if ids else "nothing running" if progress.ended else "the connection is busy"
    return f"{state}; {len(progress.failed)} failed" if progress.failed else state


def _log(level: str, text: str) -> None:
    click.echo(f"{level}: {text}", err=True)


def _tell_outcome(outcome: StagedOutcome, output: str) -> None:
    from planasonix.runs import report_stages

    _tell(outcome.to_dict(), report_stages(outcome), output)


def _tell(data: dict[str, Any], text: str, output: str) -> None:
    click.echo(json.dumps(data, indent=2) if output == "json" else text)


def _tell_plan(book: Book, asked: StagedBackfill, output: str) -> None:
    from dataclasses import asdict

    from planasonix.runs import planned

    rows: list[PlannedStage] = planned(book, asked)
    if output == "json":
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        click.echo(f"[{row.start_at}, {row.end_at})  {row.state.replace('_', ' '):<6}  {row.why}")
    done = sum(row.state == "done" for row in rows)
    click.echo(f"{len(rows)} stages: {done} done, {len(rows) - done} to start or to wait for. Nothing was sent.")
