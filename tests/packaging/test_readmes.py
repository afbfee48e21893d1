"""Every Python snippet of the READMEs runs as it stands, against a sandbox in place of the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def snippets(readme: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / readme).read_text(), flags=re.DOTALL | re.MULTILINE)


CASES = [
    pytest.param(code, id=f"{readme}-{number}")
    for readme in ("README.md", "core/README.md")
    for number, code in enumerate(snippets(readme), 1)
    # Those run in the environments of their orchestrators.
    if not any(name in code for name in ("airflow", "dagster", "prefect"))
]


@pytest.mark.planasonix_sandbox(speed=60)
@pytest.mark.parametrize("code", CASES)
def test_it_runs(code: str, planasonix_sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "README", "exec"), names)
    for name, value in names.items():
        if name.startswith("test_"):
            value(planasonix_sandbox)


def test_there_is_something_to_run() -> None:
    assert len(CASES) >= 6
