from __future__ import annotations

import pytest

from tests.core.runs.polled.setting import Setting


@pytest.fixture
def setting() -> Setting:
    """A strict tenant."""
    return Setting()
