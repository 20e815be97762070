"""The examples that know nothing of us, under ``quantum-monitor run``: the same output, and every circuit counted."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from quantum_monitor.store.reader import StoredRun
from tests.examples.example_process import EXAMPLES, UNDER_RUN, begin, count, needs, run, run_cleanly, shots, the_run
from tests.server_process import eventually

UNMODIFIED = EXAMPLES / "unmodified"


def observed(name: str, *words: str) -> tuple[str, StoredRun]:
    """What a script printed, the same as without us, and the run that was kept of it."""
    script = UNMODIFIED / name
    plain = run_cleanly(script, *words)
    assert not list(Path.cwd().iterdir())
    ended = run(*UNDER_RUN, script, *words)
    assert (ended.status, ended.out) == (0, plain)
    assert re.fullmatch(
        r"quantum-monitor: metrics on http://127\.0\.0\.1:\d+/metrics; the run is kept in .*\n", ended.err
    )
    stored = the_run()
    assert (stored.info["experiment"], stored.status) == (script.stem, "completed")
    return plain, stored


def test_none_of_them_knows_of_us() -> None:
    scripts = sorted(UNMODIFIED.glob("*.py"))
    assert [path.name for path in scripts] == sorted(path.name for path in (EXAMPLES / "with_api").glob("*.py"))
    assert not [path.name for path in scripts if "monitor" in path.read_text()]


@needs("pennylane")
def test_vqe_shows_circuits_losses_and_gradients() -> None:
    out, stored = observed("vqe_pennylane.py")
    energy, exact, _ = map(float, re.findall(r"-?\d\.\d+", out.splitlines()[-1]))
    assert energy == pytest.approx(exact, abs=1e-3)
    assert count(stored, backend="default.qubit") == 61  # 60 steps, and the energy at the end
    assert set(stored.series("two_qubit_gates", kind="circuit").value) == {8.0}
    losses = stored.series("loss").value
    assert len(losses) == 60
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
def test_a_scrape_meets_the_bell_test_before_it_ends() -> None:
    script = UNMODIFIED / "chsh_cirq.py"
    plain = run_cleanly(script)
    circuits = 15 * 36 + 4
    with begin(*UNDER_RUN, "--final-scrape-timeout", "240", script) as process:
        assert process.stderr is not None
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/metrics", process.stderr.readline())
        series = re.compile(r"^quantum_circuit_executions_total\{.*status=\"success\"\} (\S+)$", re.MULTILINE)

        def all_of_them() -> bool:
            with urllib.request.urlopen(address, timeout=60) as page:
                return series.findall(page.read().decode()) == [f"{circuits}.0"]

        eventually(all_of_them, seconds=240, what="the last execution on the page")
        out, _ = process.communicate(timeout=240)
    assert (process.returncode, out) == (0, plain)
    assert re.search(r"S = 2\.8", plain)
    stored = the_run()
    assert count(stored, backend="cirq.Simulator") == circuits
    assert shots(stored) == 15 * 36 * 500 + 4 * 20_000


@needs("braket")
def test_the_kernel_shows_every_circuit_of_its_batches() -> None:
    out, stored = observed("kernel_braket.py")
    assert out == "accuracy 1.000 on 8 points it has not seen, by 92 circuits\n"
    assert count(stored, backend="StateVectorSimulator") == 92
    assert shots(stored) == 92 * 400
    assert "cost" not in stored.fields()
