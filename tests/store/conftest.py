"""Stores that are closed again, and programs that run beside the test."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import quantum_monitor
from quantum_monitor.store.writer import RunStore

SOURCE_ROOT = Path(quantum_monitor.__file__).resolve().parents[1]
StoreFactory = Callable[..., RunStore]
StartProgram = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[StoreFactory]:
    """Opens stores, below the test's folder unless told otherwise, and closes them at the end."""
    opened: list[RunStore] = []

    def open_one(directory: Path | None = None, **options: Any) -> RunStore:
        info = options.pop("info", {"experiment": "h2", "name": "a", "run_id": "1"})
        opened.append(RunStore(directory or tmp_path / "h2" / "1", info, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        assert store.close(20)


@pytest.fixture
def start_program() -> Iterator[StartProgram]:
    """Starts Python programs that know the package, with their output as a pipe, and ends them by their id."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def _busy_thread() -> Iterator[None]:
    done = threading.Event()

    def spin() -> None:
        number = 0
        while not done.is_set():
            for _ in range(1_000):
                number += 1

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def busy_thread() -> Iterator[None]:
    """A thread that computes all the time, as training does: the store gets the interpreter only when it must."""
    with _busy_thread():
        yield
