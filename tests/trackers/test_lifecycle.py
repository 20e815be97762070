"""Every ending of a training leaves its runs in MLflow and W&B with all records and the right status, and no process."""

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
from tests.trackers.lifecycle_scripts import ENDINGS, LATER, SETUP, Ending
from tests.trackers.mlflow_server import select
from tests.trackers.wandb_files import written

AT_ONCE = 4
RECORDS = 20
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
    """A script in a folder of its own, and whatever it starts."""

    def __init__(self, folder: Path, empty: Path, ending: Ending) -> None:
        self.folder, self.ending = folder, ending
        self._mark = f"LIFECYCLE_{uuid.uuid4().hex}"
        folder.mkdir(exist_ok=True)
        if not (folder / "mlflow.db").exists():
            shutil.copy(empty, folder / "mlflow.db")
        self._script = folder / f"{self._mark}.py"
        self._script.write_text(SETUP + textwrap.indent(ending.script, "    "))

    def start(self) -> None:
        environment = {name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"}
        self._process = subprocess.Popen(
            [sys.executable, self._script.name],
            cwd=self.folder,
            env={**environment, self._mark: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> Left:
        """Until it and whatever it started are over, or should be."""
        try:
            errors = self._process.communicate(timeout=90)[1]
            with contextlib.suppress(AssertionError):  # the test tells who is left
                eventually(lambda: not self._living(), seconds=60)
        finally:
            living = self._living()
            for process in living:
                process.kill()
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


# Delivered at once


@pytest.fixture(scope="module")
def endings(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Left]]:
    """All endings, a few at a time: the folder of each, and what was left."""
    folder = tmp_path_factory.mktemp("endings")

    def end(name: str) -> tuple[Path, Left]:
        training = Training(folder / name, empty, ENDINGS[name])
        training.start()
        return training.folder, training.wait()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return dict(zip(ENDINGS, threads.map(end, ENDINGS), strict=True))


@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_leaves_the_right_status_everywhere_and_no_process(
    endings: dict[str, tuple[Path, Left]], name: str
) -> None:
    folder, left = endings[name]
    ending = ENDINGS[name]
    assert (left.exit, left.processes) == (ending.exit, []), left.errors
    assert {run: told.status for run, told in stored(folder).items()} == ending.runs
    assert all(told.rows >= RECORDS for told in stored(folder).values())
    assert in_mlflow(folder) == expected(folder, ending.runs, IN_MLFLOW)
    assert in_wandb(folder) == expected(folder, ending.runs, IN_WANDB)
