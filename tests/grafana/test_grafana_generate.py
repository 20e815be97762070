"""Generated dashboards: the same bytes every time, drift found, and grafanalib's own command agrees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("grafanalib")

from quantum_monitor.grafana.generate import main, rendered, stale

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The definitions and what was generated from them, in a folder of the test's own."""
    found = tmp_path / "dashboards"
    shutil.copytree(DASHBOARDS, found, ignore=shutil.ignore_patterns("__pycache__", "secrets*", "provisioning"))
    return found


def test_the_committed_files_are_those_of_the_definitions() -> None:
    assert stale(DASHBOARDS) == [], "make dashboards"


def test_another_process_gives_the_same_bytes(copy: Path) -> None:
    before = rendered(copy)
    shutil.rmtree(copy / "json")
    environ = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-m", "quantum_monitor.grafana.generate", copy], env=environ, check=True)
    assert {f"json/{path.name}": path.read_text() for path in (copy / "json").iterdir()} == before


def test_generating_twice_writes_nothing(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(copy)]) == 0
    assert capsys.readouterr().out == ""


def test_check_finds_an_edited_a_missing_and_a_forgotten_file_and_mends_none(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited, missing, forgotten = (copy / "json" / name for name in ("cost.json", "state.json", "old.json"))
    edited.write_text("{}")
    missing.unlink()
    forgotten.write_text("{}")
    assert main([str(copy), "--check"]) == 1
    assert "json/cost.json, json/old.json, json/state.json; `make dashboards`" in capsys.readouterr().err
    assert edited.read_text() == "{}"
    assert main([str(copy)]) == 0
    assert main([str(copy), "--check"]) == 0
    assert not forgotten.exists()


def test_a_folder_without_definitions_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_the_command_of_grafanalib_writes_the_same(copy: Path) -> None:
    definitions = sorted(copy.glob("*.dashboard.py"))
    command = "from grafanalib._gen import generate_dashboards_script as run; run()"
    subprocess.run([sys.executable, "-c", command, *definitions], check=True)
    written = {f"json/{path.name}": path.read_text() for path in copy.glob("*.json")}
    assert written == rendered(copy)


def test_grafanalib_is_imported_by_nobody_else() -> None:
    command = "import sys, quantum_monitor, quantum_monitor.cli; sys.exit('grafanalib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
