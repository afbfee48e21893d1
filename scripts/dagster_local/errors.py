"""What can go wrong with a local Dagster, with enough text to see why."""

from scripts.local.errors import LocalError


class LocalDagsterError(LocalError):
    """Base of the errors of this package."""


class DagsterTimeout(LocalDagsterError):
    """Something did not happen in time; the text ends with the last log lines of every component."""


class GraphQLError(LocalDagsterError):
    """Dagster's webserver refused a call; the text is its answer."""
