"""The command `quantum-monitor report`: a file a run, and a sentence for what cannot be reported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quantum_monitor import cli
from quantum_monitor.record import Record
from quantum_monitor.store.layout import run_directory
from quantum_monitor.store.writer import RunStore

MakeRun = Callable[[str], Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run with one loss."""

    def make(name: str) -> Path:
        info = {"run_id": f"id-{name}", "name": name, "experiment": "h2", "start_time": 1_700_000_000.0}
        store = RunStore(run_directory(tmp_path / "storage", "h2", f"id-{name}"), {"status": "completed", **info})
        store.put(Record("training", 1_700_000_000.0, 0, {"loss": 0.25}))
        assert store.close(20)
        return store.directory

    return make


def report(*arguments: object) -> int:
    return cli.main(["report", *map(str, arguments)])


def test_one_run_is_reported_into_the_file_that_was_named(make_run: MakeRun) -> None:
    directory = make_run("a")
    command = [sys.executable, "-m", "quantum_monitor.cli", "report", str(directory), "--output", "a report.html"]
    done = subprocess.run([*command, "--without-figures"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a report.html\n", "")
    page = Path("a report.html").read_text(encoding="utf-8")
    assert "<h1>a</h1>" in page
    assert "<script" not in page


def test_the_ending_of_the_file_is_the_format(make_run: MakeRun) -> None:
    directory = make_run("a")
    assert report(directory, "--output", "a.md") == 0
    assert Path("a.md").read_text(encoding="utf-8").startswith("# a\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--output", "x.pdf"], "--output: 'x.pdf' ends in none of .html, .md; or give a folder that exists"),
        (["--output", "x.html", "--format", "md"],
         "--output: 'x.html' does not end in .md, which --format md asks for"),
        (["--output", "none/x.html"], "--output: there is no folder 'none'; make it first"),
    ],
)  # fmt: skip
def test_a_file_that_could_not_be_what_its_name_says_is_refused_in_a_line(
    arguments: list[str], why: str, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(make_run("a"), *arguments) == 1
    assert capsys.readouterr().err == f"quantum-monitor: {why}\n"
    assert not list(Path().glob("x.*"))


def test_the_page_has_figures_unless_they_are_not_wanted(make_run: MakeRun) -> None:
    assert report(make_run("a")) == 0
    assert 'class="drawing"' in Path("h2-id-a.html").read_text(encoding="utf-8")
    assert report("storage", "--without-figures") == 0
    assert 'class="drawing"' not in Path("h2-id-a.html").read_text(encoding="utf-8")


def test_several_runs_are_reported_into_a_folder(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        make_run(name)
    assert report(tmp_path / "storage", "--format", "md", "--output", "reports") == 0
    assert capsys.readouterr().out.splitlines() == ["reports/h2-id-a.md", "reports/h2-id-b.md"]
    assert Path("reports/h2-id-b.md").read_text(encoding="utf-8").startswith("# b\n")
    assert report(tmp_path / "storage", "--run", "b", "--format", "md") == 0
    assert [path.name for path in Path().glob("*.md")] == ["h2-id-b.md"]


def test_a_damaged_run_is_named_and_the_others_are_reported(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = make_run("a")
    make_run("b")
    (damaged / "records.db").write_bytes(b"no database" * 1_000)
    assert report(tmp_path / "storage", "--without-figures") == 1
    told = capsys.readouterr()
    assert told.out == "h2-id-b.html\n"
    (line,) = told.err.splitlines()
    assert line.startswith(f"quantum-monitor: there is no report of {damaged}: ")


def test_a_folder_without_runs_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert report(tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds no runs; give a storage folder" in line
