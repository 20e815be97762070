"""The whole way of a number: from a training step of the demo to an answer of a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.e2e.prometheus_process import Prometheus, watching
from tests.server_process import eventually

pytest.importorskip("tqdm")
qml = pytest.importorskip("pennylane")

STEPS = 30
BOND_LENGTHS = (0.4, 0.55, 0.7414, 0.9, 1.1, 1.3, 1.5, 1.8, 2.1, 2.5)
CHEMICAL_ACCURACY = 1.6e-3  # hartree
BACKEND = 'backend="default.qubit"'

StartPrometheus = Callable[..., Prometheus]
StartDemo = Callable[..., "subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Finished:
    """A demo that ran from its start to its end under the eyes of Prometheus.

    Attributes:
        prometheus: what Prometheus saw.
        runs: what the demo wrote, by bond length.
        status: its exit status.
        out, err: what it printed.
        withdrawn: when it took its target file back, Unix time.
    """

    prometheus: Prometheus
    runs: dict[float, StoredRun]
    status: int
    out: str
    err: str
    withdrawn: float

    def last(self, field: str) -> dict[str, float]:
        """The last value that the run's own records have of a field, by the run's name."""
        return {run.info["name"]: float(run.series(field).value[-1]) for run in self.runs.values()}


@pytest.fixture(scope="module")
def finished(
    start_prometheus: StartPrometheus, start_demo: StartDemo, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    targets = folder / "targets"
    targets.mkdir()
    prometheus = start_prometheus(watching(targets))
    demo = start_demo(folder, "--steps", STEPS, discovery=targets)
    status = demo.wait(timeout=300)
    out, err = ((folder / name).read_text() for name in ("out.txt", "err.txt"))
    assert status == 0, out + err
    runs = [StoredRun(path) for path in find_runs(folder / "runs")]
    return Finished(
        prometheus=prometheus,
        runs={run.info["params"]["bond_length_angstrom"]: run for run in runs},
        status=status,
        out=out,
        err=err,
        withdrawn=targets.stat().st_mtime,  # a folder changes when a file in it comes or goes
    )


def exact_energy(bond_length: float) -> float:
    """The lowest eigenvalue, in hartree, computed here and not by the demo."""
    geometry = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, bond_length]])
    hamiltonian, qubits = qml.qchem.molecular_hamiltonian(qml.qchem.Molecule(["H", "H"], geometry, unit="angstrom"))
    return float(np.linalg.eigvalsh(qml.matrix(hamiltonian, wire_order=range(qubits)))[0])


def announced_in(targets: Path) -> list[str]:
    """The addresses in the target files of a folder."""
    return [address for path in targets.glob("*.json") for address in json.loads(path.read_text())[0]["targets"]]


def name_of(bond_length: float) -> str:
    return f"{bond_length} angstrom"


# What Prometheus has seen


def test_prometheus_has_the_last_energy_of_every_bond_length_as_the_records_say(finished: Finished) -> None:
    energies = finished.prometheus.by_run("quantum_training_loss")
    assert set(energies) == {name_of(length) for length in BOND_LENGTHS}
    assert energies == finished.last("loss")


@pytest.mark.parametrize("bond_length", BOND_LENGTHS)
def test_the_energy_is_within_chemical_accuracy_of_exact_diagonalisation(
    finished: Finished, bond_length: float
) -> None:
    energy = finished.prometheus.by_run("quantum_training_loss")[name_of(bond_length)]
    assert energy == pytest.approx(exact_energy(bond_length), abs=CHEMICAL_ACCURACY)


def test_the_energy_at_equilibrium_is_that_of_the_literature(finished: Finished) -> None:
    energy = finished.prometheus.by_run("quantum_training_loss")["0.7414 angstrom"]
    assert energy == pytest.approx(-1.1372, abs=CHEMICAL_ACCURACY)


def test_every_step_is_counted(finished: Finished) -> None:
    assert set(finished.prometheus.by_run("quantum_training_steps_total").values()) == {STEPS}
    assert set(finished.prometheus.by_run("quantum_training_step").values()) == {STEPS - 1}
    assert {len(run.series("loss").value) for run in finished.runs.values()} == {STEPS}


def test_the_fidelity_is_that_of_the_records_and_a_fidelity(finished: Finished) -> None:
    fidelities = finished.prometheus.by_run("quantum_state_fidelity")
    assert fidelities == finished.last("fidelity")
    assert all(0.9 < fidelity <= 1 + 1e-12 for fidelity in fidelities.values())


def test_gradients_and_states_are_seen(finished: Finished) -> None:
    for metric, field in {
        "quantum_training_gradient_norm": "gradient_norm",
        "quantum_training_parameter_norm": "parameter_norm",
        "quantum_state_entanglement_entropy": "entanglement_entropy",
        "quantum_state_purity": "purity",
    }.items():
        assert finished.prometheus.by_run(metric) == finished.last(field)


def test_circuits_and_their_cost_are_seen(finished: Finished) -> None:
    executions = finished.prometheus.by_run(f'quantum_circuit_executions_total{{{BACKEND},status="success"}}')
    assert set(executions.values()) == {STEPS}
    depths = finished.prometheus.by_run(f"quantum_circuit_depth{{{BACKEND}}}")
    assert depths == finished.last("depth")
    assert set(depths.values()) == {
        7
    }  # X side by side; three times two single excitations side by side and a double one
    costs = finished.prometheus.by_run(f'quantum_cost_total{{{BACKEND},currency="USD",kind="reported"}}')
    spent = {run.info["name"]: float(run.series("cost").value.sum()) for run in finished.runs.values()}
    assert costs == pytest.approx(spent)
    assert min(costs.values()) > 0


def test_backend_and_machine_are_seen(finished: Finished) -> None:
    for metric in (
        f"quantum_backend_up{{{BACKEND}}}", "quantum_system_memory_total_bytes", "quantum_process_memory_bytes",
        "quantum_process_threads", "process_resident_memory_bytes",
    ):  # fmt: skip
        assert all(value > 0 for _, value in finished.prometheus.samples(metric))
        assert finished.prometheus.samples(metric), metric
    for metric in ("quantum_system_cpu_ratio", "quantum_process_cpu_ratio"):
        values = [value for _, value in finished.prometheus.samples(metric)]
        assert 0 < max(values) <= 1


def test_every_run_is_seen_to_complete(finished: Finished) -> None:
    assert set(finished.prometheus.by_run('quantum_run_status{status="completed"}').values()) == {1}
    assert set(finished.prometheus.by_run("quantum_run_end_timestamp_seconds")) == set(finished.last("loss"))


def test_nothing_went_wrong_inside_the_monitor(finished: Finished) -> None:
    for metric in ("quantum_monitor_errors_total", "quantum_monitor_records_dropped_total"):
        assert finished.prometheus.ask("query", query=f"last_over_time({metric}[15m]) > 0")["result"] == []
    assert finished.prometheus.samples("quantum_monitor_series_rejected_total")[-1][1] == 0


def test_no_scrape_failed_while_the_target_was_announced(finished: Finished) -> None:
    up = [value for at, value in finished.prometheus.samples("up") if at < finished.withdrawn]
    assert len(up) > 5
    assert set(up) == {1}


def test_the_target_vanishes_with_the_demo(finished: Finished) -> None:
    eventually(lambda: finished.prometheus.targets() == {}, what="the target's end")


# What the person has seen


def test_the_printed_table_agrees_with_the_records(finished: Finished) -> None:
    row = r"^ *(\d\.\d{4}) +(-\d\.\d+) +(-\d\.\d+) +(\d+\.\d+) +(\d\.\d+) +(\d+) +"
    rows = re.findall(row, finished.out, re.MULTILINE)
    assert [float(row[0]) for row in rows] == list(BOND_LENGTHS)
    for length, energy, exact, error, fidelity, steps in rows:
        run = finished.runs[float(length)]
        assert float(energy) == pytest.approx(run.series("loss").value[-1], abs=1e-6)
        assert float(exact) == pytest.approx(exact_energy(float(length)), abs=1e-6)
        assert float(error) == pytest.approx(1e3 * abs(run.series("loss").value[-1] - float(exact)), abs=1e-3)
        assert float(fidelity) == pytest.approx(run.series("fidelity").value[-1], abs=1e-6)
        assert int(steps) == STEPS


def test_output_to_a_file_is_lines_and_nothing_goes_to_stderr(finished: Finished) -> None:
    assert finished.err == ""
    assert not re.search(r"[^\n -~]", finished.out)  # no carriage return, no escape code, no bar
    for length in BOND_LENGTHS:
        assert re.search(rf"^{length:.4f} A: -\d\.\d+ Ha", finished.out, re.MULTILINE)


# Demos that end otherwise


def test_a_serving_demo_removes_the_target_of_a_killed_one_and_ends_well_on_ctrl_c(
    start_prometheus: StartPrometheus, start_demo: StartDemo, tmp_path: Path
) -> None:
    targets = tmp_path / "targets"
    targets.mkdir()
    prometheus = start_prometheus(watching(targets))
    killed = start_demo(tmp_path / "killed", "--serve", discovery=targets)
    eventually(lambda: "up" in prometheus.targets().values(), what="the first scrape")
    gone = announced_in(targets)
    killed.kill()
    killed.wait()
    assert announced_in(targets) == gone == list(prometheus.targets())
    (left,) = targets.glob("*.json")
    long_ago = time.time() - 600  # for five minutes it stays, so that Prometheus finds that nobody answers
    os.utime(left, (long_ago, long_ago))

    serving = start_demo(tmp_path / "serving", "--serve", "--steps", 1, discovery=targets)
    eventually(lambda: announced_in(targets) not in ([], gone), what="the change in the folder")
    present = announced_in(targets)
    assert gone[0] not in present
    eventually(lambda: prometheus.targets() == {present[0]: "up"}, what="the change of target")
    out = tmp_path / "serving" / "out.txt"
    eventually(lambda: "Serving until Ctrl-C" in out.read_text() or serving.poll() is not None, seconds=120)
    trained, up = time.time(), f'up{{instance="{present[0]}"}}'
    eventually(lambda: prometheus.samples(up)[-1][0] > trained, what="a scrape after the end of training")
    assert prometheus.samples(up)[-1][1] == 1

    serving.send_signal(signal.SIGINT)
    assert serving.wait(timeout=60) == 0
    assert list(targets.iterdir()) == []
    assert (tmp_path / "serving" / "err.txt").read_text() == ""
