"""Prometheus watching a discovery folder, and the demo in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.alerting_site import HELD_SECONDS, Site, TrainingProcess, alerting_site
from tests.e2e.prometheus_process import Prometheus, running

# A background job of a shell is started with SIGINT ignored, and Python leaves that so: here Ctrl-C has to work.
_DEMO = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from quantum_monitor.cli import main
sys.exit(main(["demo", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def start_prometheus(
    server_binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Prometheus]]:
    """Starts Prometheus with these scrape configurations; it ends with the module."""
    program = server_binary("prometheus")
    with ExitStack() as stack:

        def start(*scrape_configs: dict[str, Any]) -> Prometheus:
            folder = tmp_path_factory.mktemp("prometheus") / "server"
            return stack.enter_context(running(program, folder, list(scrape_configs)))

        yield start


@pytest.fixture(scope="module")
def start_demo() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the demo in a folder: its output goes to `out.txt` and `err.txt`, its runs to `runs`."""
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, *arguments: object, discovery: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", _DEMO, "--port", "0", "--storage", str(folder / "runs"), *map(str, arguments)]
        environ = {**os.environ, "QUANTUM_MONITOR_DISCOVERY": str(discovery)}
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            started.append(
                subprocess.Popen(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def site(server_binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Prometheus and Alertmanager as shipped, but faster; they end with the module."""
    with alerting_site(server_binary, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def start_training(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., TrainingProcess]]:
    """Starts a training that the site watches; it ends with the module."""
    started: list[TrainingProcess] = []

    def start(run: str, *, experiment: str = "h2", held: float | None = HELD_SECONDS) -> TrainingProcess:
        options = {"experiment": experiment, "run": run} | ({} if held is None else {"held": held})
        started.append(TrainingProcess(tmp_path_factory.mktemp("training") / "work", site.targets, **options))
        return started[-1]

    yield start
    for training in started:
        training.kill()
