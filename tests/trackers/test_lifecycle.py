"""Every ending of a training leaves its runs in MLflow and W&B with all records and the right status."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.server_process import eventually
from tests.trackers.lifecycle_scripts import AT_ONCE, ENDINGS, SETUP
from tests.trackers.mlflow_server import select
from tests.trackers.wandb_files import written

SIDE_BY_SIDE = 4
RECORDS = 20
LEFT_BEHIND_AFTER = 40  # seconds; a delivery process with nothing to do and its pipe held open would take 60
IN_MLFLOW = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "killed": "KILLED"}
IN_WANDB = {"completed": 0, "failed": 1, "stopped": 255, "killed": 255}


class Told(NamedTuple):
    """What one place says of one run: how it ended, and how many rows it holds."""

    status: object
    rows: int


class Left(NamedTuple):
    """What a training has left behind.

    Attributes:
        exit: its exit status.
        errors: its standard error.
        processes: the names of those that still ran when everything was to be over.
    """

    exit: int
    errors: str
    processes: list[str]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database before the first run: its tables take seconds, once."""
    database = tmp_path_factory.mktemp("empty") / "mlflow.db"
    script = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1]).search_experiments()"
    command = [sys.executable, "-c", script, f"sqlite:///{database}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return database


class Training:
    """A script, and whatever it starts.

    Args:
        folder: where it works; several may share one.
        name: which of `ENDINGS`.
        run: the name of its run; that of the ending unless given.
        grace: seconds that delivery may go on after it; 0 leaves everything to ``sync``.
    """

    def __init__(self, folder: Path, name: str, *, run: str = "", grace: float = 60) -> None:
        self._mark = f"LIFECYCLE_{uuid.uuid4().hex}"
        script = folder / f"{run or name}.py"
        script.write_text(SETUP + textwrap.indent(ENDINGS[name].script, "    "))
        environment = {variable: text for variable, text in os.environ.items() if variable != "QUANTUM_MONITOR_RAISE"}
        self._process = subprocess.Popen(
            [sys.executable, script, run or name, str(grace)],
            cwd=folder,
            env={**environment, self._mark: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> Left:
        """Until it and whatever it started are over, or should be."""
        try:
            self._process.wait(90)
            with contextlib.suppress(AssertionError):  # the test tells who is left
                eventually(lambda: not self._living(), seconds=LEFT_BEHIND_AFTER)
        finally:
            living = self._living()
            for process in living:
                process.kill()
        errors = self._process.communicate(timeout=20)[1]
        return Left(self._process.returncode, errors, [process.name() for process in living])

    def _living(self) -> list[psutil.Process]:
        """It and those that it started, delivery and wandb-core included: they share its environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if self._mark in process.environ() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def stored(folder: Path) -> dict[str, Told]:
    """What the store says of the runs of a folder, by name."""
    runs = [StoredRun(directory) for directory in find_runs(folder / "runs")]
    return named((run.info["name"], Told(run.status, run.last_sequence)) for run in runs)


def in_mlflow(folder: Path) -> dict[str, Told]:
    """What MLflow's database says of them: the losses of a run are as many as its records, each there once."""
    counted = "count(distinct timestamp || ' ' || step), count(*)"
    found = []
    for run_id, name, status, ended in select(
        folder / "mlflow.db", "select run_uuid, name, status, end_time from runs"
    ):
        rows = "from metrics where key = 'loss' and run_uuid = ?"
        ((different, rows),) = select(folder / "mlflow.db", f"select {counted} {rows}", run_id)
        assert (rows, ended is None) == (different, status == "RUNNING")
        found.append((name, Told(status, rows)))
    return named(found)


def in_wandb(folder: Path) -> dict[str, Told]:
    """What W&B's offline files say of them: the exit code, and how many rows, each there once."""
    found = []
    for directory in find_runs(folder / "runs"):
        run = written(directory)
        steps = [row["_step"] for row in run.rows if row["_step"] % 1_000 == 0]
        assert len(steps) == len(set(steps))
        info = StoredRun(directory)
        if run.exit_codes:
            assert run.summary["status"] == info.status
        found.append((info.info["name"], Told(run.exit_codes[-1] if run.exit_codes else None, len(steps))))
    return named(found)


def named(found: Iterable[tuple[str, Told]]) -> dict[str, Told]:
    found = list(found)
    assert len(dict(found)) == len(found), "two runs of one name"
    return dict(found)


def expected(folder: Path, runs: Mapping[str, str], words: Mapping[str, object]) -> dict[str, Told]:
    """Those runs with their statuses in the words of a tracker, and with all records of the store."""
    return {name: Told(words[status], stored(folder)[name].rows) for name, status in runs.items()}


def agree(folder: Path, runs: Mapping[str, str]) -> None:
    """Assert that these runs are everywhere with all records and these statuses, each in the place's own words."""
    assert {name: told.status for name, told in stored(folder).items()} == runs
    rows = {name: told.rows for name, told in stored(folder).items()}
    assert all(count >= RECORDS for count in rows.values())
    assert in_mlflow(folder) == {name: Told(IN_MLFLOW[status], rows[name]) for name, status in runs.items()}
    assert in_wandb(folder) == {name: Told(IN_WANDB[status], rows[name]) for name, status in runs.items()}


# Delivered at once


@pytest.fixture(scope="module")
def endings(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Left]]:
    """The endings that are delivered at once, a few at a time: the folder of each, and what was left."""
    above = tmp_path_factory.mktemp("endings")

    def end(name: str) -> tuple[Path, Left]:
        folder = above / name
        folder.mkdir()
        shutil.copy(empty, folder)
        return folder, Training(folder, name).wait()

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        return dict(zip(AT_ONCE, threads.map(end, AT_ONCE), strict=True))


@pytest.mark.parametrize("name", AT_ONCE)
def test_an_ending_is_right_everywhere_and_leaves_no_process(endings: dict[str, tuple[Path, Left]], name: str) -> None:
    folder, left = endings[name]
    assert (left.exit, left.processes) == (ENDINGS[name].exit, []), left.errors
    agree(folder, ENDINGS[name].runs)


def test_six_processes_at_once_share_a_storage_and_a_database(empty: Path, tmp_path: Path) -> None:
    shutil.copy(empty, tmp_path)
    trainings = [Training(tmp_path, "block", run=f"process {number}") for number in range(6)]
    for left in [training.wait() for training in trainings]:
        assert (left.exit, left.processes) == (0, []), left.errors
    agree(tmp_path, {f"process {number}": "completed" for number in range(6)})


# Delivered later


def sync(folder: Path) -> str:
    """What the command says."""
    environment = {name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"}
    command = [sys.executable, "-m", "quantum_monitor.cli", "sync", "runs"]
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_what_nobody_was_left_to_deliver_is_right_everywhere_after_sync(empty: Path, tmp_path: Path) -> None:
    shutil.copy(empty, tmp_path)
    later = [name for name in ENDINGS if name not in AT_ONCE]

    def end(name: str) -> Left:
        return Training(tmp_path, name, grace=0).wait()

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        left = dict(zip(later, threads.map(end, later), strict=True))
    assert {name: one.exit for name, one in left.items()} == {name: ENDINGS[name].exit for name in later}
    assert {name: one.processes for name, one in left.items()} == {name: [] for name in later}
    sync(tmp_path)
    runs = {run: status for name in later for run, status in ENDINGS[name].runs.items()}
    agree(tmp_path, runs)
    assert sync(tmp_path).count("up to date") == 2 * len(runs)
    agree(tmp_path, runs)
