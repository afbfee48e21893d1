"""The blocking client is what the generator makes of the async one."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

import pytest

from planasonix import AsyncPlanasonix, Planasonix

SCRIPT = Path(__file__).parents[3] / "scripts" / "unasync.py"


@pytest.fixture
def unasync():
    spec = importlib.util.spec_from_file_location("unasync_under_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workplace(unasync, tmp_path, monkeypatch):
    """A source and a generated target of our own."""
    source, target = tmp_path / "_async", tmp_path / "_sync"
    source.mkdir()
    monkeypatch.setattr(unasync, "ROOT", tmp_path)
    monkeypatch.setattr(unasync, "SOURCE", source)
    monkeypatch.setattr(unasync, "TARGET", target)
    monkeypatch.setattr(unasync, "RULES", ((r"async (def)\b", r"\1"), (r"\bawait ", "")))
    (source / "m.py").write_text("async def f():\n    await g()\n")
    return source, target


def test_the_committed_client_is_up_to_date(unasync, capsys):
    assert unasync.main(["--check"]) == 0, capsys.readouterr().err


def test_generate_then_check(unasync, workplace):
    _, target = workplace
    assert unasync.main(["--check"]) == 1
    assert unasync.main([]) == 0
    assert (target / "m.py").read_text().endswith("def f():\n    g()\n")
    assert unasync.main(["--check"]) == 0


def test_an_edited_or_stale_file_is_noticed(unasync, workplace, capsys):
    _, target = workplace
    unasync.main([])
    (target / "old.py").write_text("")
    (target / "m.py").write_text("def f(): pass\n")
    assert unasync.main(["--check"]) == 1
    assert {"m.py", "old.py"} <= {Path(line.split()[-1]).name for line in capsys.readouterr().err.splitlines()}
    assert unasync.main([]) == 0
    assert not (target / "old.py").exists()
    assert unasync.main(["--check"]) == 0


def test_a_rule_without_use_fails(unasync, workplace, capsys):
    source, _ = workplace
    (source / "m.py").write_text("async def f():\n    g()\n")
    assert unasync.main([]) == 1
    assert "await" in capsys.readouterr().err


def test_wrong_arguments(unasync, capsys):
    assert unasync.main(["--nonsense"]) == 2
    assert "usage" in capsys.readouterr().err


def test_both_clients_have_the_same_methods_and_parameters():
    """Name by name, so that no rule of the generator can lose one."""
    resources = ("connections", "jobs", "backfills", "webhooks")
    blocking, other = Planasonix("k"), AsyncPlanasonix("k")
    for name in ("", *resources):
        one, two = (getattr(c, name) if name else c for c in (blocking, other))
        methods = {n for n, _ in inspect.getmembers(type(one), inspect.isfunction) if not n.startswith("_")}
        expected = {n for n, _ in inspect.getmembers(type(two), inspect.isfunction) if not n.startswith("_")}
        assert methods == {"close" if n == "aclose" else n for n in expected}
        for method in methods - {"close"}:
            parameters = inspect.signature(getattr(type(one), method)).parameters
            assert list(parameters) == list(inspect.signature(getattr(type(two), method)).parameters)
            assert inspect.getdoc(getattr(type(one), method))
