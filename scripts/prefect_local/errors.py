"""What can go wrong with a local Prefect, with enough text to see why."""

from scripts.local.errors import LocalError


class LocalPrefectError(LocalError):
    """Base of the errors of this package."""


class PrefectTimeout(LocalPrefectError):
    """Something did not happen in time; the text ends with the last log lines of every component."""


class RestError(LocalPrefectError):
    """Prefect's server refused a call. `status` is its HTTP status, the text its answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
