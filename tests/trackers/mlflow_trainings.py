"""Training scripts that deliver to MLflow from a process of their own, and what arrived there of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.server_process import eventually
from tests.trackers.mlflow_server import MlflowServer

_SERVICE = "quantum_monitor.trackers.service"  # in the command of a delivery process

SETUP = """
import json, logging, os, signal, sys, time
import numpy as np
from quantum_monitor import QuantumMonitor

logging.basicConfig(level=logging.INFO, format="%(message)s")
options = {"delivery_grace": 60, "delivery_timeout": 20, **json.loads(sys.argv[1])}
signal.alarm(50)
PARAMS = {"learning_rate": 0.1, "molecule": "H2"}

def new_monitor(**more):
    fixed = {"storage_path": "runs", "metrics_port": None, "enable_mlflow": True}
    return QuantumMonitor("h2", **{**fixed, **options, **more})

def begin(monitor, name=None):
    monitor.start_run(name)
    monitor.log_params(PARAMS)
    open("notes.txt", "w").write("as it was")
    monitor.log_artifact("notes.txt")

def log(monitor, first, last):
    for step in range(first, last):
        monitor.log_training_step(-step, np.sin(np.arange(4.0) + step), np.cos(np.arange(4.0) + step), step)

def status(monitor):
    return monitor.tracking_status()["trackers"]["mlflow"]

def until(holds):
    while not holds():
        time.sleep(0.01)

def say(*what):
    print(*what, flush=True)

def hear():
    assert sys.stdin.readline()

"""


class Training:
    """A training script in a process of its own, which says what it does line by line.

    Args:
        script: goes on after `SETUP`.
        folder: where it works.
        options: of its monitors, and ``environment`` for its own.
    """

    def __init__(self, script: str, folder: Path, **options: Any) -> None:
        environment = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", **options.pop("environment", {})}
        inherited = {name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"}
        self.folder = folder
        with (folder / "stderr.log").open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SETUP + script, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env={**inherited, **environment},
                start_new_session=True,
            )

    def hear(self) -> str:
        """The next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.errors
        return line.strip()

    def go_on(self) -> None:
        """Let it go on from ``hear()``."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def finish(self, *, status: int | None = 0) -> str:
        """Wait for its end; what it has said since."""
        output, _ = self._process.communicate(timeout=60)
        assert status is None or self._process.returncode == status, self.errors
        return output

    def kill(self) -> None:
        """End it with SIGKILL, and nothing else."""
        self._process.kill()
        self.finish(status=-signal.SIGKILL)

    def pause(self) -> None:
        """Stop it, so that it starts no delivery process again."""
        self._process.send_signal(signal.SIGSTOP)

    def delivery(self) -> psutil.Process | None:
        """Its delivery process; None if there is none."""
        # Whether the training still lives or not: nobody else works in its folder.
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(self.folder) and any(_SERVICE in word for word in process.cmdline()):
                    return process
        return None

    def delivery_is_over(self) -> bool:
        """Whether no delivery process of it is left."""
        return self.delivery() is None

    @property
    def errors(self) -> str:
        """What it has logged."""
        return (self.folder / "stderr.log").read_text()

    @property
    def runs(self) -> dict[str, StoredRun]:
        """Its runs by name."""
        found = [StoredRun(directory) for directory in find_runs(self.folder / "runs")]
        return {run.info["name"]: run for run in found}

    @property
    def run(self) -> StoredRun:
        """Its only run."""
        (run,) = self.runs.values()
        return run

    def end(self) -> None:
        """Leave no process behind."""
        delivery = self.delivery()
        self._process.kill()
        if delivery is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                delivery.kill()
        self._process.communicate()


@contextlib.contextmanager
def training(script: str, folder: Path, **options: Any) -> Iterator[Training]:
    """A training that runs while the block does."""
    folder.mkdir(exist_ok=True)
    begun = Training(script, folder, **options)
    try:
        yield begun
    finally:
        begun.end()


def sync(folder: Path, *arguments: str, status: int = 0) -> str:
    """What ``quantum-monitor sync`` says of the runs in a folder's ``runs``."""
    line = [sys.executable, "-m", "quantum_monitor.cli", "sync", "runs", *arguments]
    environment = {**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def found(server: MlflowServer, run: StoredRun) -> list[tuple[str, str]]:
    """Id and status of a run in MLflow, as often as it is there."""
    query = "SELECT run_uuid, status FROM runs JOIN tags USING (run_uuid) WHERE key = 'quantum.run_id' AND value = ?"
    return [(str(uuid), str(status)) for uuid, status in server.select(query, run.info["run_id"])]


def closed(server: MlflowServer, run: StoredRun) -> bool:
    """Whether a run has an end in MLflow."""
    return [status for _, status in found(server, run)] not in ([], ["RUNNING"])


def arrived(server: MlflowServer, run: StoredRun) -> int:
    """How many steps of a run are in MLflow."""
    query = "SELECT count(*) FROM metrics WHERE key = 'loss' AND run_uuid = ?"
    return sum(int(server.select(query, uuid)[0][0]) for uuid, _ in found(server, run))


def is_there_once(server: MlflowServer, run: StoredRun, status: str = "FINISHED", *, steps: int | None = None) -> None:
    """Assert that MLflow holds each value of a run once, its parameters, its artifacts and its status."""
    ((uuid, state),) = found(server, run)
    assert state == status
    rows = server.select("SELECT key, step, value FROM metrics WHERE run_uuid = ?", uuid)
    logged = [(name, record) for _, record in run.records() for name in record.fields]
    assert len(rows) == len({row[:2] for row in rows}) == len(logged)
    losses = sorted((step, value) for key, step, value in rows if key == "loss")
    count = sum(name == "loss" for name, _ in logged) if steps is None else steps
    assert losses == [(step, -step) for step in range(count)]
    params = server.select("SELECT key, value FROM params WHERE run_uuid = ?", uuid)
    assert sorted(params) == [("learning_rate", "0.1"), ("molecule", "H2")]
    folder = server.database.parent / "artifacts"
    (notes,) = folder.glob(f"*/{uuid}/artifacts/files/notes.txt")
    assert notes.read_text() == "as it was"
    assert len(list(folder.glob(f"*/{uuid}/artifacts/**/report.html"))) == 1


def wait_until_closed(server: MlflowServer, run: StoredRun) -> None:
    """Wait for the end of a run in MLflow."""
    eventually(lambda: closed(server, run), what="the end of the run in MLflow")
