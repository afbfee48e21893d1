"""`planasonix sandbox`: the emulator as a process of its own."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

from planasonix.sandbox import DEFAULT_API_KEY, Sandbox

if TYPE_CHECKING:
    from planasonix.sandbox import RunningSandbox


@click.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--profile", default="strict", show_default=True, type=click.Choice(["strict", "rich"]))
@click.option(
    "--speed", default=1.0, show_default=True, type=click.FloatRange(min=0), help="Virtual seconds per second; 0 stops."
)
@click.option("--api-key", default=DEFAULT_API_KEY, help=f"The accepted key.  [default: {DEFAULT_API_KEY}]")
@click.option("--seed", default=0, show_default=True, type=int, help="Same seed, same ids, rows and checksums.")
def command(host: str, port: int, profile: str, speed: float, api_key: str, seed: int) -> None:
    """Serve an emulated Planasonix tenant until interrupted.

    The page at / shows what happens; the routes under /sandbox/ script outcomes, faults and time, and GET /sandbox/
    lists them.
    """
    sandbox = Sandbox(profile, seed=seed, speed=speed, api_keys=api_key)
    running = _serve(sandbox, host, port)
    shown_key = api_key if api_key == DEFAULT_API_KEY else "(the one given)"
    click.echo(f"Planasonix sandbox ({profile}) on {running.url}")
    click.echo(f"  PLANASONIX_BASE_URL={running.url}")
    click.echo(f"  PLANASONIX_API_KEY={shown_key}")
    if speed > 1:
        click.echo(f"  Its clock runs {speed:g} times as fast: use --speed 1 to try sensors with `since`.")
    click.echo(f"  job pages: {running.job_url_template}")
    if host not in ("127.0.0.1", "localhost", "::1"):
        click.echo("  Everyone who reaches this address can use the control routes: they need no key.", err=True)
    try:
        _until_interrupted()
    finally:
        running.stop()
    click.echo("Stopped.")


def _serve(sandbox: Sandbox, host: str, port: int) -> RunningSandbox:
    try:
        return sandbox.serve(host, port)
    except ModuleNotFoundError as exc:
        raise click.ClickException(
            f"{exc.name} is missing; serving needs an extra: pip install 'planasonix[sandbox]'"
        ) from None
    except OSError as exc:
        raise click.ClickException(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from None


def _until_interrupted() -> None:
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    done.wait()
