"""The demo without a server: its chemistry, its training, and what it says when it cannot start."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantum_monitor import QuantumMonitor, demo
from quantum_monitor.physics.circuits import circuit_facts
from quantum_monitor.store.reader import StoredRun

CHEMICAL_ACCURACY = 1.6e-3  # hartree
HARTREE_FOCK = -1.11668  # at 0.7414 angstrom, STO-3G

with_pennylane = pytest.mark.usefixtures("_pennylane")


@pytest.fixture
def _pennylane() -> None:
    pytest.importorskip("pennylane")
    pytest.importorskip("tqdm")


def run_demo(*arguments: object, without: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; `without` makes a package as good as not installed."""
    program = (
        "import sys\n"
        f"sys.modules.update({dict.fromkeys([without] if without else [])!r})\n"
        "from quantum_monitor.cli import main\n"
        "sys.exit(main(['demo', *sys.argv[1:]]))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


# Chemistry and training


@with_pennylane
def test_hydrogen_at_equilibrium_has_the_energy_of_the_literature() -> None:
    problem = demo.hydrogen(0.7414)
    assert problem.exact_energy == pytest.approx(-1.13727, abs=1e-5)
    assert np.linalg.norm(problem.exact_state) == pytest.approx(1)
    assert problem.energy(np.zeros(problem.shape)) == pytest.approx(HARTREE_FOCK, abs=1e-5)


@with_pennylane
def test_the_circuit_has_the_depth_that_its_description_has() -> None:
    excitations = [
        {"type": "SingleExcitation", "qubits": [0, 2]},
        {"type": "SingleExcitation", "qubits": [1, 3]},
        {"type": "DoubleExcitation", "qubits": [0, 1, 2, 3]},
    ]
    gates = [{"type": "x", "qubit": 0}, {"type": "x", "qubit": 1}, *excitations * 3]
    assert demo.hydrogen(0.7414).circuit == circuit_facts({"n_qubits": 4, "gates": gates})


@with_pennylane
@pytest.mark.parametrize(("bond_length", "seed"), [(0.7414, 2), (2.5, 9)])
def test_forty_steps_reach_chemical_accuracy(bond_length: float, seed: int) -> None:
    problem = demo.hydrogen(bond_length)
    seen: list[tuple[float, float]] = []
    energy = demo.train(problem, 40, seed=seed, progress=lambda *now: seen.append(now))
    assert energy == pytest.approx(problem.exact_energy, abs=CHEMICAL_ACCURACY)
    assert energy >= problem.exact_energy - 1e-9  # the variational principle
    assert len(seen) == 40
    assert seen[-1][0] == energy
    assert seen[-1][1] > 0.95


@with_pennylane
def test_training_is_the_same_with_and_without_a_monitor(new_monitor: Callable[..., QuantumMonitor]) -> None:
    problem = demo.hydrogen(0.7414)
    monitor = new_monitor()
    with monitor.start_run("a"):
        watched = demo.train(problem, 5, monitor=monitor)
    assert watched == demo.train(problem, 5)
    assert monitor.run_path is not None
    run = StoredRun(monitor.run_path)
    assert run.series("loss").value[-1] == watched
    assert [len(run.series(field).value) for field in ("loss", "execution_time", "cost", "fidelity")] == [5, 5, 5, 2]


# What it says when it cannot start


@pytest.mark.parametrize("package", ["pennylane", "tqdm"])
def test_a_missing_extra_is_one_sentence_with_the_mend(package: str) -> None:
    done = run_demo("--port", 0, without=package)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"The demo needs .*{package}.*: pip install 'quantum-monitor\[demo\]'\n", done.stderr)
    assert list(Path.cwd().iterdir()) == []


@with_pennylane
def test_a_storage_that_cannot_be_written_is_one_sentence_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run_demo("--port", 0, "--storage", tmp_path / "file" / "runs")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "file" / "runs") in done.stderr
    assert "--storage" in done.stderr


@with_pennylane
def test_a_taken_port_makes_it_serve_on_another_and_say_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "quantum_monitor.cli", "demo", "--port", str(port), "--storage", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo_process:
            try:
                assert demo_process.stdout is not None
                line = next(line for line in demo_process.stdout if line.startswith("Metrics:"))
            finally:
                demo_process.kill()
    told = re.fullmatch(r"Metrics: http://127\.0\.0\.1:(\d+)/metrics\n", line)
    assert told is not None
    assert int(told[1]) != port


# What it says at its end


@with_pennylane
def test_the_report_is_read_back_from_the_runs(
    new_monitor: Callable[..., QuantumMonitor], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = demo.trace(new_monitor(), 1)
    capsys.readouterr()
    demo.report(runs)
    told = capsys.readouterr().out
    for length, path in zip(demo.BOND_LENGTHS, runs, strict=True):
        assert re.search(rf"^ *{length:.4f} +{StoredRun(path).series('loss').value[0]:.6f} ", told, re.MULTILINE)
    assert "not within chemical accuracy (1.6 mHa)" in told  # one step is not enough, and it says so
    assert "No money was spent" in told
    assert max(map(len, told.splitlines())) < 80
