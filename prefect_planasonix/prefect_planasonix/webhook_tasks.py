"""Have Planasonix send its events to a receiver, from a flow. No signing secret is a parameter or a result."""

from __future__ import annotations

from typing import Any

from prefect import task

from planasonix.errors import ConfigurationError
from prefect_planasonix.credentials import require_credentials


@task(name="planasonix-ensure-webhook", persist_result=False)
def ensure_webhook(
    credentials: Any,
    url: str,
    secrets_file: str | None = None,
    secret_block: str | None = None,
    events: tuple[str, ...] | None = None,
) -> str:
    """As `PlanasonixCredentials.ensure_webhook`, with the secret named instead of given.

    :param secrets_file: the receiver's file, where the receiver runs on the same machine; a new secret is made for it.
    :param secret_block: the name of a saved `Secret` block of Prefect that holds the secret: for a receiver elsewhere.

    Returns the id of the subscription.
    """
    secret: str | None = None
    if secret_block is not None:
        from prefect.blocks.system import Secret

        from prefect_planasonix.outside import outside_of_runs

        name = secret_block
        try:
            found: Any = outside_of_runs(lambda: Secret.load(name))
        except ValueError:
            raise ConfigurationError(
                f"There is no saved Secret block {name!r} that can be read.",
                field="secret_block",
                hint=f'Save one with what the receiver has: Secret(value="...").save("{name}"), from '
                "prefect.blocks.system.",
            ) from None
        secret = str(found.get())
    return require_credentials(credentials).ensure_webhook(url, events, secret=secret, secrets_file=secrets_file)
