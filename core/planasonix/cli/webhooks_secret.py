"""How a signing secret gets into a command: from the environment, a file or a prompt, and not by an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click


def given_secret(env: str | None, file: str | None, text: str | None) -> str | None:
    """The secret that one of the three names, or None if none does. Raises `click.UsageError`, without it."""
    if sum(one is not None for one in (env, file, text)) > 1:
        raise click.UsageError("Give one of --secret-env, --secret-file and --secret.")
    if env is not None:
        value = os.environ.get(env)
        if not value:
            raise click.UsageError(f"--secret-env: the environment has no {env}.")
        return value
    if file is not None:
        try:
            return (sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")).strip()
        except (OSError, UnicodeDecodeError):
            raise click.UsageError(f"--secret-file: {file} cannot be read.") from None
    if text is not None:
        click.echo(
            "Warning: a secret on the command line is seen by everybody on this machine and kept in the "
            "shell's history. "
            "Use --secret-env or --secret-file.",
            err=True,
        )
    return text


def prompted_secret() -> str | None:
    """Asked for on a terminal, unseen; None where there is none."""
    if not sys.stdin.isatty():
        return None
    answer: str = click.prompt("Signing secret", hide_input=True, confirmation_prompt=True)
    return answer
