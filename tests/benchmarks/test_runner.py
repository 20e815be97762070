"""`make bench`: one process a benchmark, chosen by a part of its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as runner

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_benchmark_has_a_main_and_a_name() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("bench_*.py")}
    assert {f"bench_{name}" for name in runner.names()} == modules
    for module in modules:
        assert "def main(" in (ROOT / f"benchmarks/{module}.py").read_text(encoding="utf-8")


def test_an_unknown_name_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["no such thing"]) == 2
    assert "'no such thing'" in capsys.readouterr().err


def test_the_runner_is_started_as_a_module() -> None:
    command = [sys.executable, "-m", "benchmarks", "no such thing"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 2
