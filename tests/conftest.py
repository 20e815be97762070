"""What every test gets: an environment of its own, internal errors that are raised, small disks, and real servers."""

from __future__ import annotations

import os

os.environ["QUANTUM_MONITOR_RAISE"] = "1"  # before the package is imported: a swallowed error is a failed test here

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.configuration
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from scripts import servers

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") == "true"
_STARTED_WITH = dict(os.environ)

# The working folder changes from test to test; examples that failed before are kept in one place.
hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".hypothesis")
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if CI else "local")


@pytest.fixture(scope="session")
def outer_env() -> Mapping[str, str]:
    """The environment that the test run was started with, for tools that need the person's own settings (pip)."""
    return _STARTED_WITH


@pytest.fixture(scope="session", autouse=True)
def _person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A person without files or settings; what fixtures of a whole module write lands in a fresh folder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            foreign = name.startswith(("QUANTUM_MONITOR_", "XDG_", "MLFLOW_", "WANDB_"))
            if foreign and name != "QUANTUM_MONITOR_RAISE":
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):  # nothing leaves this machine
            patch.setenv(name, "true")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("QUANTUM_MONITOR_ENABLE_MLFLOW", "0")  # on by default: a test that wants a tracker asks for it
        patch.chdir(home)
        yield


@pytest.fixture(autouse=True)
def _no_loop_of_brakets() -> Iterator[None]:
    """The Braket SDK gives the thread an event loop that nobody closes: a later test would be told."""
    yield
    if "braket.aws" in sys.modules:
        loop = getattr(asyncio.get_event_loop_policy(), "_local").__dict__.get("_loop")  # noqa: B009 - private
        if loop is not None and not loop.is_running():
            loop.close()
            asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in a folder of its own, so the default storage `./quantum_monitoring` lands there."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_was_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cause is logged once a process: each test is a process of its own in that."""
    monkeypatch.setattr(FAULTS, "_logged", set())


@pytest.fixture(scope="session")
def server_binary() -> Callable[[str], Path]:
    """Where a server program is, by its Debian name; without it the test is skipped, or fails where `CI=true`."""

    def find(program: str) -> Path:
        path = servers.find(program)
        if path is None:
            reason = f"no {program} here: {servers.why_absent()}"
            if CI:
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


@pytest.fixture
def new_monitor(tmp_path: Path) -> Iterator[Callable[..., QuantumMonitor]]:
    """Makes monitors with a registry of their own and no endpoint unless asked for; closes them after the test."""
    made: list[QuantumMonitor] = []

    def make(experiment_name: str = "h2", **options: Any) -> QuantumMonitor:
        defaults: dict[str, Any] = {
            "metrics_port": None,
            "storage_path": tmp_path / "runs",
            "registry": CollectorRegistry(),
            "enable_mlflow": False,
        }
        made.append(QuantumMonitor(experiment_name, **{**defaults, **options}))
        return made[-1]

    yield make
    for monitor in made:
        monitor.close()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a small disk or a read-only view; where that is not allowed the test is skipped."""
    mounted: list[Path] = []

    def mount_one(name: str, *arguments: str) -> Path:
        target = tmp_path / name
        target.mkdir(exist_ok=True)
        result = subprocess.run(["mount", *arguments, str(target)], capture_output=True, text=True, check=False)
        if result.returncode:
            pytest.skip(f"cannot mount here (needs root): {result.stderr.strip()}")
        if target not in mounted:
            mounted.append(target)
        return target

    yield mount_one
    for target in mounted:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; one a test process."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if CI:
            pytest.fail("no chromium here")
        pytest.skip("no chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
