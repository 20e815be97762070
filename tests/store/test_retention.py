"""What is old goes, what is alive or not ours stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.faults import FAULTS
from quantum_monitor.store import runfile
from quantum_monitor.store.retention import delete, parse_retention, plan
from quantum_monitor.store.writer import RunStore

DAY = 86_400.0
NOW = 1_800_000_000.0
StoreFactory = Callable[..., RunStore]
Mount = Callable[..., Path]


def make_run(directory: Path, *, days_ago: float, **info: Any) -> Path:
    """A run that ended so many days ago, an hour after its start."""
    end = NOW - days_ago * DAY
    RunStore(directory, {"experiment": "h2", "start_time": end - 3_600, "end_time": end, **info}).close()
    return directory


def strange(run: Path, **changes: Any) -> None:
    runfile.write(run / "run.json", {**runfile.read(run / "run.json"), **changes})


@pytest.mark.parametrize(
    ("value", "older_than", "keep_last"),
    [
        ("12h", 43_200.0, None),
        ("30d", 30 * DAY, None),
        (" 2 w ", 14 * DAY, None),
        ("1.5d", 1.5 * DAY, None),
        (20, None, 20),
        ("20", None, 20),
    ],
)
def test_ages_and_numbers_are_understood(value: str | int, older_than: float | None, keep_last: int | None) -> None:
    assert parse_retention(value) == {"older_than": older_than, "keep_last": keep_last}


@pytest.mark.parametrize("value", ["", "d", "-1d", "0d", "30m", "1e3d", "thirty days", 0, -1, True, 1.5, None])
def test_anything_else_is_refused_with_the_field_and_the_mend(value: Any) -> None:
    with pytest.raises(ValueError, match=r'older_than_option.*"30d"'):
        parse_retention(value, field="older_than_option")


def test_a_plan_shows_what_goes_and_touches_nothing(tmp_path: Path) -> None:
    old = make_run(tmp_path / "h2-x" / "old", days_ago=40, experiment="h2/x", name="first")
    make_run(tmp_path / "h2-x" / "new", days_ago=5)
    (going,) = plan(tmp_path, older_than=30 * DAY, now=NOW)
    assert (going.path, going.experiment, going.name) == (old.resolve(), "h2/x", "first")
    assert going.started == NOW - 40 * DAY - 3_600
    assert going.size_bytes >= sum((old / name).stat().st_size for name in ("records.db", "run.json"))
    assert going.reason == "ended 40.0 days ago"
    assert old.exists()
    assert plan(tmp_path, now=NOW) == []


def test_the_last_runs_of_each_experiment_stay(tmp_path: Path) -> None:
    for experiment in ("h2", "lih"):
        for days in (1, 2, 3):
            make_run(tmp_path / experiment / str(days), days_ago=days)
    names = [f"{run.path.parent.name}/{run.path.name}" for run in plan(tmp_path, keep_last=1, now=NOW)]
    assert sorted(names) == ["h2/2", "h2/3", "lih/2", "lih/3"]
    assert plan(tmp_path, keep_last=3, now=NOW) == []
    assert len(plan(tmp_path, keep_last=0, now=NOW)) == 6


def test_with_both_rules_only_what_both_let_go_goes(tmp_path: Path) -> None:
    for days in (1, 20, 40, 50):
        make_run(tmp_path / "h2" / str(days), days_ago=days)
    assert [run.path.name for run in plan(tmp_path, older_than=30 * DAY, keep_last=3, now=NOW)] == ["50"]
    assert [run.path.name for run in plan(tmp_path, older_than=10 * DAY, keep_last=1, now=NOW)] == ["50", "40", "20"]


def test_a_long_run_is_as_old_as_its_end(tmp_path: Path) -> None:
    make_run(tmp_path / "h2" / "a", days_ago=1, start_time=NOW - 90 * DAY)
    assert plan(tmp_path, older_than=30 * DAY, now=NOW) == []


def test_a_run_without_an_end_is_as_old_as_its_last_record(tmp_path: Path) -> None:
    run = make_run(tmp_path / "h2" / "a", days_ago=40, end_time=None)
    for age, going in ((20 * DAY, 0), (40 * DAY, 1)):
        for file in run.iterdir():
            os.utime(file, (NOW - age, NOW - age))
        assert len(plan(tmp_path, older_than=30 * DAY, now=NOW)) == going


def test_a_living_run_never_goes_even_if_the_plan_is_older_than_it(tmp_path: Path, open_store: StoreFactory) -> None:
    run = make_run(tmp_path / "h2" / "a", days_ago=40)
    planned = plan(tmp_path, older_than=DAY, now=NOW)
    store = open_store(run, info={"start_time": NOW - 40 * DAY, "end_time": NOW - 40 * DAY})
    assert plan(tmp_path, older_than=DAY, now=NOW) == []
    assert plan(tmp_path, keep_last=0, now=NOW) == []
    errors = FAULTS.errors["retention"]
    result = delete(planned)
    assert result.deleted == []
    assert "being written" in result.failed[0][1]
    assert FAULTS.errors["retention"] == errors + 1
    assert store.directory.exists()


def test_a_run_of_another_host_goes_only_after_a_week_of_silence(tmp_path: Path) -> None:
    run = make_run(tmp_path / "h2" / "a", days_ago=40)
    strange(run, writer={"pid": 1, "host": "elsewhere", "started": "1"}, end_time=None)
    for age, going in ((6 * DAY, 0), (8 * DAY, 1)):
        for file in run.iterdir():
            os.utime(file, (NOW - age, NOW - age))
        assert len(plan(tmp_path, older_than=DAY, now=NOW)) == going


def test_deleting_removes_the_run_and_the_empty_experiment_and_nothing_that_links_point_to(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    run = make_run(storage / "h2" / "a", days_ago=40)
    make_run(storage / "lih" / "b", days_ago=40)
    stays = make_run(storage / "lih" / "c", days_ago=1)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("...")
    (run / "artifacts" / "link").symlink_to(precious)
    (storage / "lih" / ".deleting-0123").mkdir()  # of a deletion that was interrupted
    planned = plan(storage, older_than=30 * DAY, now=NOW)
    result = delete(planned)
    assert len(result.deleted) == 2
    assert result.failed == []
    assert result.freed_bytes == sum(run.size_bytes for run in planned) > 0
    assert (precious / "thesis.tex").exists()
    assert [path.name for path in storage.iterdir()] == ["lih"]
    assert list((storage / "lih").iterdir()) == [stays]


def test_a_run_that_became_a_link_is_not_deleted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "storage" / "h2" / "a", days_ago=40)
    planned = plan(tmp_path / "storage", older_than=DAY, now=NOW)
    run.rename(tmp_path / "elsewhere")
    run.symlink_to(tmp_path / "elsewhere")
    result = delete(planned)
    assert result.deleted == []
    assert (tmp_path / "elsewhere" / "records.db").exists()


def test_what_is_not_ours_is_never_planned(tmp_path: Path) -> None:
    (tmp_path / "h2" / "photos").mkdir(parents=True)
    (tmp_path / "h2" / "photos" / "run.json").write_text("{}")
    assert plan(tmp_path, keep_last=0, now=NOW) == []


def test_what_cannot_be_deleted_is_reported(tmp_path: Path, mount: Mount) -> None:
    disk = mount("disk", "-t", "tmpfs", "tmpfs")
    make_run(disk / "h2" / "a", days_ago=40)
    mount("disk", "-o", "remount,ro")
    result = delete(plan(disk, older_than=DAY, now=NOW))
    assert result.deleted == []
    assert "Read-only" in result.failed[0][1]
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def test_a_second_deletion_of_the_same_plan_is_harmless(tmp_path: Path) -> None:
    make_run(tmp_path / "h2" / "a", days_ago=40)
    planned = plan(tmp_path, older_than=DAY, now=NOW)
    assert len(delete(planned).deleted) == 1
    assert len(delete(planned).failed) == 1


@pytest.mark.parametrize("rule", ["older_than", "keep_last"])
def test_a_negative_rule_is_refused(tmp_path: Path, rule: str) -> None:
    with pytest.raises(ValueError, match=f"{rule} is -1"):
        plan(tmp_path, **{rule: -1})
