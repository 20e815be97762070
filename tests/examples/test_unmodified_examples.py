"""The examples that know nothing of us, under ``quantum-monitor run``: the same output, and every circuit counted."""

from __future__ import annotations

import re
from pathlib import Path

from quantum_monitor.store.reader import StoredRun
from tests.examples.example_process import EXAMPLES, UNDER_RUN, count, needs, run, run_cleanly, shots, the_run

UNMODIFIED = EXAMPLES / "unmodified"


def observed(name: str, *words: str) -> tuple[str, StoredRun]:
    """What a script printed under `run`, and the run that was kept of it."""
    script = UNMODIFIED / name
    ended = run(*UNDER_RUN, script, *words)
    assert ended.status == 0, ended.err
    assert re.fullmatch(
        r"quantum-monitor: metrics on http://127\.0\.0\.1:\d+/metrics; the run is kept in .*\n", ended.err
    )
    stored = the_run()
    assert (stored.info["experiment"], stored.status) == (script.stem, "completed")
    return ended.out, stored


def test_none_of_them_knows_of_us() -> None:
    scripts = sorted(UNMODIFIED.glob("*.py"))
    assert [path.name for path in scripts] == sorted(path.name for path in (EXAMPLES / "with_api").glob("*.py"))
    assert not [path.name for path in scripts if "monitor" in path.read_text()]


@needs("pennylane")
def test_vqe_shows_circuits_losses_and_gradients() -> None:
    out, stored = observed("vqe_pennylane.py", "--steps", "21")
    assert count(stored, backend="default.qubit") == 22  # the steps, and the energy at the end
    assert set(stored.series("two_qubit_gates", kind="circuit").value) == {8.0}
    losses = stored.series("loss").value
    assert len(losses) == 21
    printed = [float(value) for value in re.findall(r"energy (-\d\.\d{5})$", out, flags=re.MULTILINE)]
    assert list(losses[::10].round(5)) == printed
    assert (stored.series("gradient_norm").value > 0).all()


@needs("pennylane", "torch")
def test_the_classifier_shows_each_batch_as_a_circuit() -> None:
    out, stored = observed("classifier_pennylane_torch.py", "--steps", "40")
    assert float(re.findall(r"accuracy (\d\.\d+)", out)[0]) > 0.85
    assert count(stored, backend="default.qubit") == 41


@needs("qiskit", "qiskit_aer")
def test_qaoa_shows_shots_and_its_one_transpilation() -> None:
    out, stored = observed("qaoa_qiskit.py")
    assert "5 edges, largest possible 5" in out
    evaluations = int(out.split()[0])
    assert count(stored, backend="aer_simulator") == evaluations + 1
    assert shots(stored) == (evaluations + 1) * 2048
    assert [record.fields["two_qubit_gates_after"] for _, record in stored.records(kinds=["transpilation"])] == [24.0]


@needs("cirq")
def test_the_bell_test_shows_every_circuit_of_its_sweeps() -> None:
    _, stored = observed("chsh_cirq.py", "--steps", "2")
    assert count(stored, backend="cirq.Simulator") == 2 * 36 + 4  # (1 + 2 x 4 shifts) x 4 correlations a step
    assert shots(stored) == 2 * 36 * 500 + 4 * 20_000
    assert "loss" not in stored.fields()


@needs("braket")
def test_the_kernel_shows_every_circuit_of_its_batches_and_prints_what_it_prints_without_us() -> None:
    plain = run_cleanly(UNMODIFIED / "kernel_braket.py", "--points", "4")
    assert not list(Path.cwd().iterdir())
    out, stored = observed("kernel_braket.py", "--points", "4")
    assert out == plain
    assert out.endswith(" on 4 points it has not seen, by 22 circuits\n")
    assert count(stored, backend="StateVectorSimulator") == 22
    assert shots(stored) == 22 * 400
    assert "cost" not in stored.fields()
