"""The examples that call the API: they run, their physics comes out, and what they logged is what they did."""

from __future__ import annotations

import csv
import json
import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from quantum_monitor.store.reader import StoredRun
from tests.examples.example_process import (
    EXAMPLES,
    artifacts,
    count,
    executions,
    needs,
    run_cleanly,
    runs,
    shots,
    the_run,
)

WITH_API = EXAMPLES / "with_api"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the demo printed, and the folder that it was started in."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run_cleanly(EXAMPLES / "quantum_monitoring_demo.py"), folder


@pytest.fixture(scope="module")
def kept(demo: tuple[str, Path]) -> dict[str, StoredRun]:
    """The runs that the demo has left behind."""
    return runs(str(demo[1] / "quantum_monitoring"))


TRAININGS = [f"{optimizer}-{seed}" for optimizer, seeds in (("descent", 3), ("momentum", 4)) for seed in range(seeds)]


def test_the_demo_goes_through_all_its_sections(demo: tuple[str, Path]) -> None:
    titles = re.findall(r"^(\d)\. .*\n-+$", demo[0], flags=re.MULTILINE)
    assert titles == list("123456789")


def test_the_demo_solves_hydrogen(demo: tuple[str, Path]) -> None:
    assert "exact energy -1.13731 hartree" in demo[0]  # full configuration interaction in STO-3G
    assert "at first, 1.0000 at last" in demo[0]


def test_the_demo_writes_nothing_outside_of_its_folder(demo: tuple[str, Path]) -> None:
    assert [path.name for path in demo[1].iterdir()] == ["quantum_monitoring"]


@pytest.mark.parametrize("name", TRAININGS)
def test_each_training_of_the_demo_is_kept_as_it_was(kept: dict[str, StoredRun], name: str) -> None:
    run = kept[name]
    circuits = 60 * (1 + 2 * 4) * 2  # steps x (energy and two shifts of four angles) x two bases
    assert run.status == "completed"
    assert len(run.series("loss").value) == 60
    assert count(run, backend="pretend-qpu") == circuits
    assert shots(run) == circuits * 4000
    assert run.series("cost").value.sum() == pytest.approx(circuits * 0.002)
    assert run.series("queue_time").value.mean() == pytest.approx(2.0, rel=0.3)  # exponential, of that mean
    assert set(run.series("depth", kind="circuit").value) == {3.0}
    assert run.series("fidelity").value[-1] > 0.99
    assert len(run.series("fidelity").value) == 60 / 5 + 1
    assert artifacts(run, "models") == ["ansatz"]
    assert artifacts(run, "circuits") == ["ansatz"]
    assert artifacts(run, "files") == ["angles.csv"]


def test_process_and_machine_are_sampled_meanwhile(kept: dict[str, StoredRun]) -> None:
    sampled = np.concatenate([kept[name].series("process_memory_bytes").value for name in TRAININGS[:6]])
    assert sampled.size
    assert (sampled > 0).all()


def test_metrics_of_ones_own_are_those_of_the_states_circuits_and_gradients(kept: dict[str, StoredRun]) -> None:
    run = kept["momentum-3"]
    assert run.series("odd_parity").value[-1] > 0.99  # the ground state has no other part
    assert set(run.series("entangling_share").value) == {0.2}
    largest, norm = run.series("largest_component").value, run.series("gradient_norm").value
    assert len(largest) == len(norm) == 60
    assert (largest <= norm).all()
    assert (largest >= norm / 2).all()  # of four components


def test_alerts_begin_and_end_in_every_training(demo: tuple[str, Path], kept: dict[str, StoredRun]) -> None:
    for name in TRAININGS:
        alerts = [
            (record.labels["alert"], record.fields["alert_firing"]) for _, record in kept[name].records(kinds=["alert"])
        ]
        assert sorted(alerts) == [
            (kind, state) for kind in ("above_hartree_fock", "gradient_explosion") for state in (0, 1)
        ]
    assert "the callback heard 28 reports" in demo[0]


def test_the_exports_hold_the_run(demo: tuple[str, Path], kept: dict[str, StoredRun]) -> None:
    folder, stored = demo[1] / "quantum_monitoring", kept["momentum-3"]
    assert json.loads((folder / "run.json").read_text())["series"]
    everything = json.loads((folder / "everything.json").read_text())
    with (folder / "run.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == len(everything["records"]) == stored.last_sequence


def test_the_report_and_what_is_drawn_are_there(demo: tuple[str, Path], kept: dict[str, StoredRun]) -> None:
    run = kept["momentum-3"].directory
    written = [run / "report.html", run / "report.md"]
    if find_spec("plotly"):
        written += [
            run / "dashboard.html",
            *(demo[1] / "quantum_monitoring" / name for name in ("bloch.html", "evolution.html")),
        ]
        assert "Error of the energy" in (run / "report.html").read_text()
    assert all(path.stat().st_size for path in written)


def test_the_budget_stops_what_is_too_expensive(demo: tuple[str, Path]) -> None:
    assert "about 6588.00 USD" in demo[0]  # 1080 x (0.30 + 4000 x 0.00145), as Amazon has it for Garnet
    assert "BudgetExceeded: cost_budget is 10.00: 1.50 USD are spent" in demo[0]


@needs("qiskit")
def test_what_qiskit_executes_in_the_demo_is_counted_without_a_call(
    demo: tuple[str, Path], kept: dict[str, StoredRun]
) -> None:
    found = executions(kept["without log calls"])
    assert [record.fields["shots"] for record in found] == [500, 500, 250]
    assert "measured quantum volume 4" in demo[0]
    assert "asked for its status: up 1, 2 qubits" in demo[0]


def test_the_pipeline_example_trains_judges_and_fails() -> None:
    out = run_cleanly(EXAMPLES / "integration_example.py")
    kept = runs()
    assert {name: run.status for name, run in kept.items()} == {
        "VariationalClassifier": "completed", "KernelClassifier": "completed", "bad data": "failed",
    }  # fmt: skip
    variational, kernel = kept["VariationalClassifier"], kept["KernelClassifier"]
    for run in (variational, kernel):
        assert run.series("validation_accuracy").value[-1] > 0.85
        assert run.info["params"]["samples"] == 100
        assert f"{run.series('validation_accuracy').value[-1]:.3f}" in out
    assert len(variational.series("loss").value) == 60
    assert list(variational.series("validation_accuracy").step[:-1]) == [0, 10, 20, 30, 40, 50]
    assert "loss" not in kernel.fields()
    assert "not finite" in out


def test_the_gradient_of_the_pipeline_is_that_of_its_loss() -> None:
    """By finite differences: what people copy has to be right."""
    VariationalClassifier = runpy.run_path(str(EXAMPLES / "integration_example.py"))["VariationalClassifier"]  # noqa: N806
    rng = np.random.default_rng(5)
    samples, labels = rng.uniform(-1, 1, (20, 2)), rng.choice([-1, 1], 20)
    told: list[np.ndarray] = []
    VariationalClassifier(steps=1).fit(samples, labels, callback=lambda *step: told.extend(step[2:]))
    gradient, weights = told
    numeric = np.zeros_like(weights)
    for at in np.ndindex(weights.shape):
        values = []
        for shift in (1e-6, -1e-6):
            moved = VariationalClassifier(steps=1)
            moved.weights = weights.copy()
            moved.weights[at] += shift
            values.append(np.mean((moved._expected(moved._angles(samples)) - labels) ** 2))
        numeric[at] = (values[0] - values[1]) / 2e-6
    np.testing.assert_allclose(gradient, numeric, atol=1e-8)


@needs("pennylane")
def test_vqe_finds_the_ground_state() -> None:
    out = run_cleanly(WITH_API / "vqe_pennylane.py")
    run = the_run()
    energy, exact = map(float, re.findall(r"-\d\.\d+", out))
    # A ring of free fermions: minus the sum of their energies.
    assert exact == pytest.approx(-4 * (np.cos(np.pi / 8) + np.sin(np.pi / 8)), abs=1e-5)
    assert energy == pytest.approx(exact, abs=1e-3)
    assert run.status == "completed"
    assert count(run, backend="default.qubit") == len(run.series("loss").value) == 60
    assert run.series("loss").value[-1] == pytest.approx(energy, abs=1e-3)
    assert run.series("fidelity").value[-1] > 0.999
    assert list(run.series("fidelity").step) == [*range(0, 61, 10)]
    assert artifacts(run, "circuits") == ["ansatz"]
    assert artifacts(run, "models") == ["angles"]


@needs("pennylane", "torch")
def test_the_classifier_learns_the_circle() -> None:
    out = run_cleanly(WITH_API / "classifier_pennylane_torch.py")
    run = the_run()
    assert count(run, backend="default.qubit") == len(run.series("loss").value) == 60
    assert run.series("unseen_accuracy").value[-1] > 0.9
    assert f"accuracy {run.series('unseen_accuracy').value[-1]:.3f} on points" in out
    assert (run.series("gradient_norm").value > 0).all()
    assert artifacts(run, "models") == ["weights"]


@needs("qiskit", "qiskit_aer")
def test_qaoa_finds_the_largest_cut() -> None:
    out = run_cleanly(WITH_API / "qaoa_qiskit.py")
    run = the_run()
    evaluations = int(re.findall(r"(\d+) evaluations", out)[0])
    assert count(run, backend="aer_simulator") == evaluations + 1
    assert shots(run) == (evaluations + 1) * 2048
    assert len(run.series("loss").value) == evaluations
    assert run.series("approximation_ratio").value[-1] > 0.8  # a coin for each node: 0.6
    assert run.series("best_cut").value[-1] == 5
    assert list(run.series("error_ratio_2q").value) == [0.01]


@needs("cirq")
def test_the_bell_test_breaks_the_classical_bound() -> None:
    run_cleanly(WITH_API / "chsh_cirq.py")
    run = the_run()
    assert count(run, backend="cirq.Simulator") == 15 * 36 + 4  # (1 + 2 x 4 shifts) x 4 correlations a step
    assert shots(run) == 15 * 36 * 500 + 4 * 20_000
    assert run.series("chsh").value[-1] == pytest.approx(2 * np.sqrt(2), abs=0.05)
    assert len(run.series("chsh").value) == 16


@needs("braket")
def test_the_kernel_separates_what_no_line_does() -> None:
    out = run_cleanly(WITH_API / "kernel_braket.py")
    run = the_run()
    assert count(run, backend="StateVectorSimulator") == 8 * 7 // 2 + 8**2
    assert shots(run) == 92 * 400
    assert run.series("accuracy").value[-1] == 1
    assert run.series("kernel_max").value[-1] == 1
    assert "cost" not in run.fields()  # a simulator on this machine
    assert "about 80.96 USD" in out  # 92 x (0.30 + 400 x 0.00145)
