"""The registry: frameworks that are loaded, loaded later, absent, too old, or not what they were."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import quantum_monitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks import registry

# A process of its own: what is loaded, and when, is the question.
_BEGIN = """
import warnings, sys
warnings.simplefilter("error")
import quantum_monitor
from prometheus_client import CollectorRegistry

def executions(monitor):
    return {name: done.executions["success"] for name, done in monitor.active_run.circuits.items()}
"""


def python(script: str, *before: Path, **environment: str) -> str:
    """What a process says, on both streams; it has to end well."""
    path = os.pathsep.join([*map(str, before), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + textwrap.dedent(script)],
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def fake(folder: Path, name: str, distribution: str, version: str, files: Mapping[str, str]) -> Path:
    """A framework as it was, or will be, installed in a folder."""
    told = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    for file, text in {"__init__.py": "", **files}.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_frameworks_imported_later_are_caught_and_one_that_has_changed_is_left_alone(tmp_path: Path) -> None:
    changed = fake(tmp_path, "qiskit", "qiskit", "9.0", {"primitives.py": "", "transpiler.py": "", "providers.py": ""})
    told = python(
        """
        quantum_monitor.instrument()
        assert "cirq" not in sys.modules
        finders = list(sys.meta_path)
        import qiskit
        import cirq  # wraps all finders meanwhile, and insists that nobody else changes them
        assert sys.meta_path[: len(finders)] == finders
        assert type(cirq.__loader__).__name__ == "SourceFileLoader"
        monitor = quantum_monitor.QuantumMonitor("h2", metrics_port=None, registry=CollectorRegistry())
        with monitor.start_run("a"):
            qubit = cirq.LineQubit(0)
            cirq.Simulator().run(cirq.Circuit(cirq.X(qubit), cirq.measure(qubit)))
            assert executions(monitor) == {"cirq.Simulator": 1}, executions(monitor)
        quantum_monitor.uninstrument()
        assert finders[0] not in sys.meta_path
        """,
        changed,
    )
    assert len(told.splitlines()) == 1, told
    assert "qiskit 9.0 is not instrumented" in told


def test_only_what_was_asked_for_and_not_given_back_is_instrumented(tmp_path: Path) -> None:
    python(
        """
        quantum_monitor.instrument("cirq")
        quantum_monitor.uninstrument()
        quantum_monitor.instrument(["braket"])
        import cirq
        assert "quantum_monitor.frameworks.cirq" not in sys.modules
        """,
        fake(tmp_path, "cirq", "cirq-core", "1.7.0", {}),
    )


def test_a_framework_that_cannot_be_imported_says_so_as_ever(tmp_path: Path) -> None:
    broken = fake(tmp_path, "cirq", "cirq-core", "1.7.0", {"__init__.py": "raise ImportError('no numpy here')"})
    told = python(
        """
        quantum_monitor.instrument()
        try:
            import cirq
        except ImportError as error:
            print(error)
        """,
        broken,
    )
    assert told == "no numpy here\n"


def test_a_framework_that_is_too_old_is_left_alone_with_one_warning(tmp_path: Path) -> None:
    old = fake(tmp_path, "cirq", "cirq-core", "0.9.1", {"__init__.py": "class Sampler:\n    def run_sweep(self): ..."})
    told = python(
        """
        quantum_monitor.instrument()
        import cirq
        quantum_monitor.instrument()
        assert not hasattr(cirq.Sampler.run_sweep, "__wrapped__")
        """,
        old,
    )
    assert "cirq-core 0.9.1 is older than 1.5: upgrade it" in told
    assert len(told.splitlines()) == 1


def test_what_was_wrapped_before_a_framework_turned_out_to_have_changed_is_given_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import cirq

    before = dict(vars(cirq.Sampler))
    monkeypatch.delattr(cirq.SimulatesIntermediateState, "simulate_moment_steps")
    counted = FAULTS.errors["instrument"]
    with caplog.at_level(logging.WARNING):
        quantum_monitor.instrument("cirq")
    quantum_monitor.uninstrument()
    assert "is not instrumented" in caplog.text
    assert FAULTS.errors["instrument"] == counted + 1
    assert {name: value for name, value in vars(cirq.Sampler).items() if name[0] != "_"} == {
        name: value for name, value in before.items() if name[0] != "_"
    }


def test_what_else_is_in_the_same_archive_is_not_taken_for_the_framework(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("packed_framework/__init__.py", "import packed_framework.inner")
        file.writestr("packed_framework/inner.py", "")
    told: list[str] = []
    finder = registry._Finder(told.append)
    finder.watched["packed_framework"] = None
    monkeypatch.syspath_prepend(archive)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    importlib.import_module("packed_framework")
    assert told == ["packed_framework"]


def test_a_framework_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'crik' cannot be instrumented; known are pennylane"):
        quantum_monitor.instrument("crik")


def test_a_framework_that_is_not_installed_is_said_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "_version", lambda _: None)
    with caplog.at_level(logging.WARNING):
        quantum_monitor.instrument("braket")
    quantum_monitor.uninstrument()
    assert "braket is not installed: pip install 'quantum-monitor[braket]'" in caplog.text


def test_versions_are_compared_by_their_numbers() -> None:
    assert registry._numbers("1.10.0rc1") == (1, 10)
    assert registry._numbers("1.9") < registry._numbers("1.10")
