"""Work outside of any run: where Prefect's context would change what a call of its own returns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def outside_of_runs(work: Callable[[], T]) -> T:
    """Do it in a thread of its own, and wait for it there; returns what it returns, and raises what it raises.

    In the context or on the loop of an async flow, what is sync elsewhere (loading a block) returns a coroutine that
    nobody awaits. Prefect calls the crash hook of such a flow there.
    """
    from prefect.context import SettingsContext, get_settings_context

    here = get_settings_context()
    came_to: list[T] = []
    raised: list[BaseException] = []

    def with_settings() -> None:
        try:
            # A new thread has no context. Which Prefect server is meant must not change with that.
            with SettingsContext(profile=here.profile, settings=here.settings):
                came_to.append(work())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=with_settings, name="planasonix-outside", daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return came_to[0]
