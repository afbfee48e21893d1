"""The DAG of the provider's README is a DAG."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("readme", ["README.md", "airflow_provider/README.md", "docs/airflow-seen.md"])
def test_its_python_builds_what_it_says(readme: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / readme).read_text(), flags=re.DOTALL | re.MULTILINE)
    blocks = [block for block in blocks if "airflow" in block]
    assert blocks
    for block in blocks:
        exec(compile(block, readme, "exec"), {})
