"""The wait for whatever keeps a connection or a pipeline busy says which of the two it is."""

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_planasonix.triggers.busy import PlanasonixBusyTrigger


@pytest.mark.parametrize(("kind", "target"), [("job", "connection"), ("backfill", "connection"), ("run", "pipeline")])
def test_the_story_names_what_is_busy(kind: Any, target: str) -> None:
    trigger = PlanasonixBusyTrigger(kind, None, time.time(), "planasonix_default")

    async def fired() -> Any:
        return await anext(trigger.run())

    [line] = asyncio.run(fired()).payload["story"]
    assert line.endswith(f"for the {target} to be free")
