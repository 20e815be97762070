"""An example as a person runs it: a process of its own in an empty folder, and afterwards what it left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from quantum_monitor.record import Record
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
UNDER_RUN = ("-m", "quantum_monitor.cli", "run")
_LONGEST_SECONDS = 240  # on a machine that is busy with much else


@dataclass(frozen=True)
class Ended:
    """A process that came to its end by itself."""

    status: int
    out: str
    err: str


def run(*words: str | Path) -> Ended:
    """Run Python with these words, here, with its metrics on any port."""
    environment = {**os.environ, "QUANTUM_MONITOR_METRICS_PORT": "0"}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environment,
        timeout=_LONGEST_SECONDS, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def run_cleanly(*words: str | Path) -> str:
    """Run Python with these words, here; what it printed. It must succeed, and have nothing to complain about."""
    ended = run(*words)
    assert (ended.status, ended.err) == (0, ""), ended.err
    return ended.out


def runs(folder: str = "quantum_monitoring") -> dict[str, StoredRun]:
    """The runs that are kept in a folder, by name; each name once."""
    found = [StoredRun(path) for path in find_runs(folder)]
    named = {run.info["name"]: run for run in found}
    assert len(named) == len(found)
    return named


def the_run(folder: str = "quantum_monitoring") -> StoredRun:
    """The only run that is kept in a folder."""
    (found,) = runs(folder).values()
    return found


def executions(stored: StoredRun) -> list[Record]:
    """What was executed, in order."""
    return [record for _, record in stored.records(kinds=["circuit"])]


def count(stored: StoredRun, *, backend: str) -> int:
    """How many executions there were; all of them succeeded, and on this backend."""
    found = executions(stored)
    assert {(record.labels["backend"], record.labels["status"]) for record in found} == {(backend, "success")}
    return len(found)


def shots(stored: StoredRun) -> float:
    """Shots of all executions together."""
    return float(stored.series("shots", kind="circuit").value.sum())


def artifacts(stored: StoredRun, kind: str) -> list[str]:
    """The names of what was kept of a kind: ``models``, ``circuits``, ``files``."""
    return sorted(path.name for path in (stored.directory / "artifacts" / kind).iterdir())


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skips a test where a package is not installed."""
    absent = [package for package in packages if find_spec(package) is None]
    return pytest.mark.skipif(bool(absent), reason=f"no {' and no '.join(absent)} here")
