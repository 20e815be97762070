"""`quantum-monitor compare`: what people type, and what it answers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quantum_monitor import cli_compare
from quantum_monitor.cli_common import FailureError
from tests.comparison.comparison_runs import write_group, write_run

Run = Callable[..., int]
GOOD, BAD = [0.10, 0.12, 0.11, 0.13], [0.20, 0.24, 0.21, 0.23]


@pytest.fixture
def compare() -> Run:
    parser = argparse.ArgumentParser()
    cli_compare.add_command(parser.add_subparsers())

    def run(*arguments: object) -> int:
        read = parser.parse_args(["compare", *map(str, arguments)])
        status: int = read.run_command(read)
        return status

    return run


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_group(tmp_path / "quantum_monitoring" / "adam", GOOD, tags={"optimizer": "adam"})
    write_group(tmp_path / "quantum_monitoring" / "spsa", BAD, tags={"optimizer": "spsa"})
    return tmp_path / "quantum_monitoring"


@pytest.mark.parametrize(("a", "b"), [
    ("quantum_monitoring/spsa", "quantum_monitoring/adam"),
    ("spsa", "adam"),
    ("optimizer=spsa", "optimizer=ad*"),
    ("spsa/run-0,spsa/run-1, spsa/run-2,spsa/run-3", "adam/*"),
])  # fmt: skip
def test_groups_are_called_as_people_call_them(
    storage: Path, compare: Run, capsys: pytest.CaptureFixture[str], a: str, b: str
) -> None:
    assert compare(a, b, "--metric", "final_loss") == 0
    said = capsys.readouterr().out
    assert "B is better in final_loss." in said
    assert f"A: {a} (4 runs)" in said


def test_a_storage_folder_can_be_named(storage: Path, compare: Run, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = storage.rename(storage.parent / "elsewhere")
    assert compare("spsa", "adam", "--storage", elsewhere, "--format", "json", "--reach", "loss=0.5") == 0
    told = json.loads(capsys.readouterr().out)
    assert {"final_loss", "steps_to_loss"} <= {metric["key"] for metric in told["metrics"]}
    assert len(told["a"]["runs"]) == 4


def test_the_ending_of_the_output_says_the_format(
    storage: Path, compare: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("spsa", "adam", "--output", "x.json") == 0
    assert json.loads(Path("x.json").read_text())["version"] == 1
    assert compare("spsa", "adam", "--output", "x.html") == 0
    assert Path("x.html").read_text().startswith("<!DOCTYPE html>")
    assert compare("spsa", "adam", "--format", "html") == 0
    assert Path("comparison.html").is_file()
    assert compare("spsa", "adam", "--format", "text", "--output", "x.anything") == 0
    assert Path("x.anything").read_text().startswith("Comparison of two groups")
    assert capsys.readouterr().out.splitlines() == ["x.json", "x.html", "comparison.html", "x.anything"]
    with pytest.raises(FailureError, match=r"'x\.pdf' ends in none of \.txt, \.json, \.html; or give --format"):
        compare("spsa", "adam", "--output", "x.pdf")
    with pytest.raises(FailureError, match="there is no folder nowhere"):
        compare("spsa", "adam", "--output", "nowhere/x.json")
    assert not Path("x.pdf").exists()


def test_the_choice_of_statuses_tests_and_confidence_is_obeyed(
    storage: Path, compare: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(storage / "spsa" / "broke", [0.3], status="failed")
    options = ("--include", "failed", "--test", "mann-whitney", "--confidence", "0.9", "--format", "json")
    assert compare("spsa", "adam", *options) == 0
    told = json.loads(capsys.readouterr().out)
    assert (len(told["a"]["runs"]), told["confidence"]) == (5, 0.9)
    assert {metric["test"] for metric in told["metrics"]} <= {"mann-whitney", None}


@pytest.mark.parametrize(("arguments", "reason"), [
    (("nothing", "adam"), "'nothing' is no folder of runs, and quantum_monitoring holds no run of that name"),
    (("adam", "adam"), "in both groups"),
    (("adam", "spsa", "--metric", "lose"), "no run has 'lose'"),
    (("adam", "spsa", "--metric", "steps_to_loss"), "'steps_to_loss' takes an aim: .*--reach loss=VALUE"),
    (("adam", "spsa", "--reach", "price=1"), "aims: 'price'"),
    (("adam", "spsa", "--test", "paired"), "same parameter or tag 'seed'"),
    (("adam", "spsa", "--storage", "nowhere"), "nowhere is not a folder"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(
    storage: Path, compare: Run, arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(FailureError, match=reason):
        compare(*arguments)


@pytest.mark.parametrize("option", [("--confidence", "95"), ("--reach", "loss"), ("--reach", "loss=nan"),
                                    ("--include", "all"), ("--test", "student")])  # fmt: skip
def test_options_that_are_none_are_refused(
    compare: Run, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        compare("a", "b", *option)
    assert option[0] in capsys.readouterr().err


def test_a_group_that_is_not_there_is_answered_with_a_pattern_that_is_and_names(
    tmp_path: Path, compare: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for group in ("adam", "gd"):
        for n in range(6):
            write_run(tmp_path / "quantum_monitoring" / "h2" / f"id{n}{group}", [n], name=f"{group}-{n}")
    with pytest.raises(FailureError) as failure:
        compare("adam", "gd")
    assert str(failure.value) == (
        "'adam' is no folder of runs, and quantum_monitoring holds no run of that name, experiment, parameter, tag, "
        "pattern or id; try 'adam-*'; it holds adam-0, adam-1, adam-2, adam-3, adam-4, adam-5, gd-0, gd-1, gd-2, gd-3, "
        "..."
    )
    assert compare("adam-*", "gd-*") == 0
    assert "A: adam-* (6 runs)" in capsys.readouterr().out
    with pytest.raises(FailureError, match=r"; try 'ad\*,gd-\*'; it holds"):
        compare("ad, gd", "gd-*")
    with pytest.raises(FailureError, match=r"or id; it holds adam-0"):
        compare("optimizer=adam", "gd-*")


@pytest.mark.parametrize("aim", ["loss=0.15", "loss=-9"])  # reached by one group only, and by none
def test_the_step_to_an_aim_can_be_named_whoever_reached_it(
    storage: Path, compare: Run, capsys: pytest.CaptureFixture[str], aim: str
) -> None:
    assert compare("spsa", "adam", "--reach", aim, "--metric", "steps_to_loss", "--format", "json") == 0
    (metric,) = json.loads(capsys.readouterr().out)["metrics"]
    never = "0 of 4" if aim == "loss=0.15" else "4 of 4"
    assert metric["key"] == "steps_to_loss"
    assert f"(4 of 4 in A, {never} in B) have no step to compare" in metric["sentence"]


def test_without_any_folder_it_says_what_to_name(compare: Run) -> None:
    with pytest.raises(FailureError, match="'a' is no folder of runs, and name a folder with --storage"):
        compare("a", "b")


def test_a_disk_that_takes_nothing_leaves_the_old_page(storage: Path, compare: Run, mount: Callable[..., Path]) -> None:
    full = mount("full", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    (full / "page.html").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        compare("spsa", "adam", "--output", full / "page.html")
    assert (full / "page.html").read_text() == "before"
    assert [file.name for file in full.iterdir()] == ["page.html"]
