"""`planasonix reconcile`: find runs whose owner has ended, and cancel them when told to."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import click

from planasonix.errors import ConfigurationError, PlanasonixError

if TYPE_CHECKING:
    from planasonix.runs import LedgerSource, Reconciliation

NOTHING_LEFT, FOR_A_HUMAN, ORPHANS_FOUND = 0, 1, 3


@click.command("reconcile")
@click.option("--ledger", metavar="FILE", help="A SQLite ledger of scripts or of `planasonix backfill`.")
@click.option("--source", metavar="NAME", help="A ledger that an installed plugin offers, as `airflow`.")
@click.option("--apply", "apply_", is_flag=True, help="Cancel the orphans. Without it they are only listed.")
@click.option(
    "--since",
    "since_hours",
    metavar="HOURS",
    type=click.FloatRange(min=0, min_open=True),
    help="How far to look back.  [default: the source's own; a ledger file: all]",
)
@click.option(
    "--owner-ended",
    metavar="SLOT",
    multiple=True,
    help="With --ledger: this script has ended, though its run has not. May be repeated.",
)
@click.option("--option", "options", metavar="KEY=VALUE", multiple=True, help="For the source. May be repeated.")
@click.option(
    "--grace",
    "grace_seconds",
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Leave owners alone that ended less than this ago: they may be cancelling themselves.",
)
@click.option("--output", default="text", show_default=True, type=click.Choice(["text", "json"]))
def command(
    ledger: str | None,
    source: str | None,
    apply_: bool,
    since_hours: float | None,
    owner_ended: tuple[str, ...],
    options: tuple[str, ...],
    grace_seconds: float,
    output: str,
) -> None:
    """List jobs whose owner has ended while they live on, and jobs that ended while nobody looked.

    Nothing is changed without --apply, and even then only a job is cancelled that a ledger says is its own. The
    tenant comes from PLANASONIX_API_KEY and PLANASONIX_BASE_URL.

    Exit codes: 0 nothing is left to do, 1 something needs a human or went wrong, 2 wrong arguments, 3 a dry run found
    jobs that --apply would cancel.
    """
    if (ledger is None) == (source is None):
        raise click.UsageError("Give either --ledger FILE or --source NAME.")
    if owner_ended and ledger is None:
        raise click.UsageError("--owner-ended goes with --ledger: a plugin's source asks the owner itself.")
    if options and source is None:
        raise click.UsageError("--option goes with --source.")
    try:
        found = _reconciled(
            ledger,
            source,
            apply_=apply_,
            since_hours=since_hours,
            owner_ended=owner_ended,
            options=dict(_pair(text) for text in options),
            grace_seconds=grace_seconds,
        )
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except PlanasonixError as error:
        raise click.ClickException(str(error)) from None
    _tell(found, output)
    if found.for_a_human:
        raise SystemExit(FOR_A_HUMAN)
    raise SystemExit(ORPHANS_FOUND if found.to_cancel else NOTHING_LEFT)


def _reconciled(
    ledger: str | None,
    source: str | None,
    *,
    apply_: bool,
    since_hours: float | None,
    owner_ended: tuple[str, ...],
    options: dict[str, str],
    grace_seconds: float,
) -> Reconciliation:
    from planasonix import Planasonix
    from planasonix.runs import SqliteSource, reconcile_ledger, source_named

    entries: LedgerSource
    if ledger is not None:
        entries = SqliteSource(ledger, owner_ended=owner_ended, since_hours=since_hours)
    else:
        assert source is not None  # noqa: S101 - one of the two is there
        entries = source_named(source, since_hours, options)
    try:
        with Planasonix() as client:
            return reconcile_ledger(client, entries, apply=apply_, grace_seconds=grace_seconds)
    finally:
        entries.close()


def _pair(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not mark or not key:
        raise click.UsageError(f"--option takes KEY=VALUE, got {text!r}.")
    return key, value


def _tell(found: Reconciliation, output: str) -> None:
    command_line = None if found.applied or not found.to_cancel else _command_to_apply()
    if output == "json":
        data: dict[str, Any] = found.to_dict() | {"to_apply": command_line}
        click.echo(json.dumps(data, indent=2))
        return
    click.echo(found.report())
    if command_line is not None:
        click.echo(f"Nothing was changed. To cancel the {len(found.to_cancel)} listed above:\n  {command_line}")


def _command_to_apply() -> str:
    """This call with --apply, as it was typed."""
    context = click.get_current_context()
    words = ["planasonix", "reconcile"]
    for parameter in context.command.params:
        name = parameter.name or ""
        if name == "apply_" or context.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        for one in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0], f"{one:g}" if isinstance(one, float) else str(one)]
    return shlex.join([*words, "--apply"])
