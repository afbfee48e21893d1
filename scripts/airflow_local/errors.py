"""What can go wrong with a local Airflow, with enough text to see why."""

from scripts.local.errors import LocalError


class LocalAirflowError(LocalError):
    """Base of the errors of this package."""


class AirflowTimeout(LocalAirflowError):
    """Something did not happen in time; the text ends with the last log lines of every component."""


class DagImportFailed(LocalAirflowError):
    """A DAG file has an import error; the text is Airflow's stack trace."""


class RestError(LocalAirflowError):
    """Airflow's REST API refused a call.

    Attributes: `status` (HTTP status code), `body` (text of the answer).
    """

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: HTTP {status}: {body[:2000]}")
        self.status = status
        self.body = body
