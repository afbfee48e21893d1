"""What can go wrong with processes on this machine, with enough text to see why."""


class LocalError(Exception):
    """Base of the errors of this package and of those that start an orchestrator with it."""


class ComponentDied(LocalError):
    """A component ended although nobody stopped it."""
