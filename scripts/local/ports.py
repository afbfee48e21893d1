"""Ports that nobody uses yet."""

import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now; nothing keeps it free until it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
