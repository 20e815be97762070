"""The command line: the real command in a process of its own, and what it says when something is wrong."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quantum_monitor import cli
from quantum_monitor._version import __version__
from quantum_monitor.record import Record
from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.writer import RunStore

DAY = 86_400.0
MakeRun = Callable[..., Path]
Completed = subprocess.CompletedProcess[str]


def command(*arguments: object, stdin: int = subprocess.DEVNULL) -> Completed:
    return subprocess.run(
        [sys.executable, "-m", "quantum_monitor.cli", *map(str, arguments)],
        stdin=stdin, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def make_run(storage: Path) -> MakeRun:
    """Makes a run that ended some days ago, with three losses."""

    def make(name: str, *, days_ago: float = 0.0, experiment: str = "h2", run_id: str | None = None) -> Path:
        began = time.time() - days_ago * DAY
        identity = run_id or f"id-of-{name}"
        info = {"run_id": identity, "name": name, "experiment": experiment, "start_time": began}
        store = RunStore(run_directory(storage, experiment, identity), info)
        for step in range(3):
            store.put(Record("training", began + step, step, {"loss": 1.0 - step}))
        store.describe(status="completed", end_time=began + 3)
        store.close()
        return store.directory

    return make


def assert_one_line(completed: Completed, status: int) -> str:
    """The command ended with the status and one line of stderr, which is not a traceback."""
    assert completed.returncode == status, completed.stderr
    assert completed.stderr.count("\n") == 1, completed.stderr
    assert completed.stderr.startswith("quantum-monitor")
    return completed.stderr


# Around the commands


def test_the_version_is_told() -> None:
    completed = command("--version")
    assert (completed.returncode, completed.stdout) == (0, f"quantum-monitor {__version__}\n")


def test_help_names_every_command() -> None:
    completed = command("--help")
    assert completed.returncode == 0
    assert all(name in completed.stdout for name in ("demo", "export", "sync", "clean", "check", "stack", "assets"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["export"],
        ["export", ".", "--format", "xml"],
        ["clean", "."],
        ["clean", ".", "--older-than", "soon"],
        ["clean", ".", "--older-than", "30"],
        ["clean", ".", "--keep-last", "0"],
        ["clean", ".", "--keep-last", "9" * 5_000],
        ["clean", ".", "--keep-last", "3", "--older-than", "3d"],
        ["check"],
        ["demo", "--port", "70000"],
        ["demo", "--steps", "0"],
    ],
)
def test_misuse_is_one_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["export", "missing"], ["clean", "missing", "--keep-last", "1"]])
def test_a_missing_folder_is_one_line_and_status_1(arguments: list[str]) -> None:
    assert "missing is not a folder" in assert_one_line(command(*arguments), 1)


def test_output_that_nobody_reads_to_the_end_is_no_traceback(make_run: MakeRun, storage: Path) -> None:
    for number in range(3):
        make_run(f"r{number}")
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "quantum_monitor.cli", "export", str(storage)],
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(write)
    assert process.returncode == 1
    assert process.stderr == ""


# demo


def test_the_demo_gets_its_options() -> None:
    parsed = cli._parser().parse_args(["demo", "--serve", "--steps", "5", "--port", "0", "--storage", "x"])
    assert (parsed.serve, parsed.steps, parsed.port, parsed.storage) == (True, 5, 0, Path("x"))
    parsed = cli._parser().parse_args(["demo"])
    assert (parsed.serve, parsed.steps, parsed.port, parsed.storage) == (False, 100, 9888, None)


def test_a_wrong_environment_of_the_demo_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pennylane")
    pytest.importorskip("tqdm")
    monkeypatch.setenv("QUANTUM_MONITOR_HISTORY_LIMIT", "0")
    told = assert_one_line(command("demo", "--port", "0"), 1)
    assert "QUANTUM_MONITOR_HISTORY_LIMIT: 0 is out of range" in told


# export


def test_a_run_is_exported_to_the_file_that_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    completed = command("export", make_run("a"), "--output", tmp_path / "a.json")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout == f"{tmp_path / 'a.json'}\n"
    exported = json.loads((tmp_path / "a.json").read_text())
    assert exported["series"]["loss"][0]["value"] == [1.0, 0.0, -1.0]


def test_all_runs_of_a_storage_are_exported_to_a_folder(make_run: MakeRun, storage: Path, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", experiment="lih")
    completed = command("export", storage, "--format", "csv", "--output", tmp_path / "deep" / "out")
    assert completed.returncode == 0
    files = sorted((tmp_path / "deep" / "out").iterdir())
    assert [file.name for file in files] == ["h2-id-of-a.csv", "lih-id-of-b.csv"]
    with files[0].open(newline="") as stream:
        assert [row["loss"] for row in csv.DictReader(stream)] == ["1.0", "0.0", "-1.0"]


def test_without_an_output_the_export_lands_in_the_working_directory(make_run: MakeRun) -> None:
    assert command("export", make_run("a"), "--format", "comprehensive").returncode == 0
    assert "records" in json.loads(Path("h2-id-of-a.json").read_text())


@pytest.mark.parametrize("wanted", ["b", "id-of-b", "beef-"])
def test_a_run_is_chosen_by_its_name_or_the_beginning_of_its_id(make_run: MakeRun, storage: Path, wanted: str) -> None:
    make_run("a")
    make_run("b", run_id="beef-1" if wanted == "beef-" else None)
    completed = command("export", storage, "--run", wanted, "--output", "one.json")
    assert completed.returncode == 0
    assert json.loads(Path("one.json").read_text())["run"]["name"] == "b"


def test_a_name_is_never_taken_for_the_beginning_of_another_run_s_id(make_run: MakeRun, storage: Path) -> None:
    make_run("a", run_id="b0de")
    make_run("b")
    assert command("export", storage, "--run", "b", "--output", "one.json").returncode == 0
    assert json.loads(Path("one.json").read_text())["run"]["name"] == "b"


def test_a_run_that_is_not_there_is_told_with_those_that_are(make_run: MakeRun, storage: Path) -> None:
    make_run("a")
    assert "holds no run 'z'; it holds a" in assert_one_line(command("export", storage, "--run", "z"), 1)


def test_a_folder_without_runs_is_told(tmp_path: Path) -> None:
    assert "holds no runs" in assert_one_line(command("export", tmp_path), 1)


def test_a_broken_run_is_told_and_the_others_are_exported(make_run: MakeRun, storage: Path) -> None:
    (make_run("a") / "records.db").write_bytes(b"this is no database, but long enough to be looked at" * 100)
    make_run("b")
    assert "was not exported" in assert_one_line(command("export", storage), 1)
    assert Path("h2-id-of-b.json").exists()


def test_a_place_that_cannot_be_written_is_told(make_run: MakeRun) -> None:
    Path("file").write_text("in the way")
    assert_one_line(command("export", make_run("a"), "--output", "file/out.json"), 1)


def test_a_name_with_escape_codes_reaches_no_terminal(make_run: MakeRun, storage: Path) -> None:
    make_run("\x1b[31mred\nline", days_ago=9, run_id="x")
    completed = command("clean", storage, "--older-than", "1d", "--yes")
    assert "\x1b" not in completed.stdout
    assert "?[31mred?line" in completed.stdout


# clean


def test_clean_shows_and_deletes_what_is_too_old(make_run: MakeRun, storage: Path) -> None:
    old, young = make_run("old", days_ago=40), make_run("young", days_ago=2)
    completed = command("clean", storage, "--older-than", "30d", "--yes")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert str(old) in completed.stdout
    assert "40.0 days" in completed.stdout
    assert "kB" in completed.stdout
    assert "Deleted 1 run" in completed.stdout
    assert not old.exists()
    assert young.exists()


def test_clean_keeps_the_last_runs(make_run: MakeRun, storage: Path) -> None:
    runs = [make_run(f"r{days}", days_ago=days) for days in (3, 2, 1)]
    assert command("clean", storage, "--keep-last", "1", "--yes").returncode == 0
    assert [run.exists() for run in runs] == [False, False, True]


def test_clean_without_a_terminal_shows_but_deletes_nothing(make_run: MakeRun, storage: Path) -> None:
    old = make_run("old", days_ago=40)
    completed = command("clean", storage, "--older-than", "30d")
    assert "give --yes" in assert_one_line(completed, 2)
    assert str(old) in completed.stdout
    assert old.exists()


@pytest.mark.parametrize(("answer", "deleted"), [("y\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_clean_asks_at_a_terminal(make_run: MakeRun, storage: Path, answer: str, *, deleted: bool) -> None:
    old = make_run("old", days_ago=40)
    terminal, inside = pty.openpty()
    try:
        os.write(terminal, answer.encode())
        completed = command("clean", storage, "--older-than", "30d", stdin=inside)
    finally:
        os.close(inside)
        os.close(terminal)
    assert completed.returncode == 0, completed.stderr
    assert "Delete 1 run? [y/N]" in completed.stdout
    assert old.exists() is not deleted


def test_clean_with_nothing_to_delete_says_so(make_run: MakeRun, storage: Path) -> None:
    make_run("young")
    completed = command("clean", storage, "--older-than", "30d")
    assert (completed.returncode, completed.stdout) == (0, "Nothing to delete.\n")


def test_clean_leaves_a_run_that_is_being_written(storage: Path) -> None:
    info = {"run_id": "live", "name": "live", "experiment": "h2", "start_time": time.time() - 90 * DAY}
    store = RunStore(run_directory(storage, "h2", "live"), info)
    store.flush()
    try:
        assert "Nothing to delete" in command("clean", storage, "--older-than", "1h", "--yes").stdout
        assert store.directory.exists()
    finally:
        store.close()


# check


def test_check_tells_every_problem_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text("metrics_port: 99999\nmetric_addr: x\nalert_config: {gradient_explosoin: 1}\n")
    completed = command("check", file)
    assert completed.returncode == 1
    lines = completed.stdout.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        [str(file), "line 1", "metrics_port"],
        [str(file), "line 2", "metric_addr"],
        [str(file), "line 3", "alert_config.gradient_explosoin"],
    ]
    assert completed.stderr == ""


def test_check_passes_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text("experiment_name: h2\n")
    completed = command("check", file)
    assert (completed.returncode, completed.stdout) == (0, f"{file}: OK\n")


def test_check_of_a_missing_file_is_a_problem_not_a_traceback(tmp_path: Path) -> None:
    completed = command("check", tmp_path / "missing.yaml")
    assert completed.returncode == 1
    assert "cannot be read: No such file" in completed.stdout
    assert completed.stderr == ""


def test_the_console_script_is_the_same_command() -> None:
    script = shutil.which("quantum-monitor", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("quantum-monitor is not installed in this environment, the package is on the path only")
    completed = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=120, check=False)
    assert completed.stdout == f"quantum-monitor {__version__}\n"
