"""A script that knows nothing of us, under `quantum-monitor run`, all the way to the panels of a real Prometheus."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.dashboards.panel_queries import dashboards, queries
from tests.e2e.prometheus_process import Prometheus, watching
from tests.server_process import eventually

pytest.importorskip("qiskit_aer")
pytest.importorskip("qiskit_ibm_runtime")

SCRIPT = """
import sys
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
backend = FakeManilaV2()
circuit = QuantumCircuit(3)
circuit.h(0)
circuit.ccx(0, 1, 2)
circuit.measure_all()
circuit = transpile(circuit, backend, seed_transpiler=1)
print(circuit.depth(lambda each: each.name not in ("measure", "barrier")), circuit.num_nonlocal_gates(), flush=True)
for shots in sys.stdin:
    backend.run(circuit, shots=int(shots)).result()
sys.exit(3)
"""
SHOTS = 128

WITHOUT_DATA = {
    ("Jobs on their way", "A"), ("Billed processor time", "A"), ("Queue time", "A"),  # all runs in the script's process
    ("Queue time quantiles", "A"), ("Queue time quantiles", "B"), ("Queue time quantiles", "C"),
    ("Utilisation", "A"), ("Backends now", "C"),  # no backend tells how busy it is
    ("annotation Run ends", "A"), ("annotation Alerts", "A"),  # nothing of that while it runs
}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """The script, which came to its end under the eyes of Prometheus.

    Attributes:
        prometheus: what Prometheus saw.
        run: what was kept of it.
        executed: how many circuits it was told to execute.
        depth, two_qubit_gates: of the circuit, as Qiskit has them.
        announced: the target files that were left.
    """

    prometheus: Prometheus
    run: StoredRun
    executed: int
    depth: int
    two_qubit_gates: int
    announced: list[Path]


@pytest.fixture(scope="module")
def finished(start_prometheus: Callable[..., Prometheus], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("script")
    (targets := folder / "targets").mkdir()
    (folder / "ghz.py").write_text(SCRIPT)
    prometheus = start_prometheus(watching(targets))
    with subprocess.Popen(
        [sys.executable, "-m", "quantum_monitor", "run", "--port=0", "--name=a", "--final-scrape-timeout=60", "ghz.py"],
        cwd=folder, env={**os.environ, "QUANTUM_MONITOR_DISCOVERY": str(targets)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        told, read = process.stdin, process.stdout
        assert told is not None
        assert read is not None
        depth, two_qubit_gates = map(int, read.readline().split())
        executed = 0

        def panels_are_filled() -> bool:
            nonlocal executed
            print(SHOTS, file=told, flush=True)
            executed += 1
            return empty(prometheus) <= WITHOUT_DATA

        try:
            eventually(panels_are_filled, what="data in the panels")
        except AssertionError:
            process.kill()
            pytest.fail(f"no data in {empty(prometheus) - WITHOUT_DATA}")
        told.close()
        assert process.wait(60) == 3
    (run,) = find_runs(folder / "quantum_monitoring")
    return Finished(prometheus, StoredRun(run), executed, depth, two_qubit_gates, list(targets.glob("*.json")))


def empty(prometheus: Prometheus) -> set[tuple[str, str]]:
    """Panel and refId of the queries of the circuits dashboard that find nothing."""
    asked = queries(dashboards()["circuits"], rate_interval="10s", time_range="5m")
    return {(one.panel, one.ref_id) for one in asked if not prometheus.series(one.expr)}


def test_the_last_scrape_has_every_circuit_that_the_script_executed(finished: Finished) -> None:
    """The panels had data while it ran, or there would be nothing to look at here."""
    by_run = finished.prometheus.by_run
    assert by_run('quantum_circuit_executions_total{status="success"}') == {"a": finished.executed}
    assert by_run("quantum_circuit_shots_total") == {"a": finished.executed * SHOTS}
    assert by_run("quantum_circuit_execution_duration_seconds_count") == {"a": finished.executed}
    assert by_run("quantum_circuit_depth") == {"a": finished.depth}
    assert by_run("quantum_circuit_two_qubit_gates") == {"a": finished.two_qubit_gates}
    assert len(finished.run.series("execution_time").value) == finished.executed
    assert by_run("quantum_circuit_execution_duration_seconds_sum") == {
        "a": pytest.approx(finished.run.series("execution_time").value.sum())
    }


def test_the_last_scrape_tells_how_the_script_ended_and_its_target_is_withdrawn(finished: Finished) -> None:
    seen = finished.prometheus.series("last_over_time(quantum_run_status[15m]) == 1")
    assert [(one["metric"]["experiment"], one["metric"]["run"], one["metric"]["status"]) for one in seen] == [
        ("ghz", "a", "failed")
    ]
    assert finished.run.status == "failed"
    assert finished.announced == []


def test_the_framework_the_backend_and_the_transpiler_are_seen_without_a_word_of_the_script(
    finished: Finished,
) -> None:
    prometheus = finished.prometheus
    frameworks = {one["metric"]["framework"] for one in prometheus.series("last_over_time(quantum_run_info[15m])")}
    assert frameworks - {"none"} == {"qiskit"}  # a scrape may have come before the import
    assert finished.run.info["framework"] == "qiskit"
    (up,) = prometheus.series("last_over_time(quantum_backend_up[15m])")
    assert (up["metric"]["backend"], float(up["value"][1])) == ("fake_manila", 1)
    assert prometheus.by_run('quantum_transpilation_depth{kind="after"}') == {"a": finished.depth}
    assert prometheus.by_run('quantum_transpilation_two_qubit_gates{kind="after"}') == {"a": finished.two_qubit_gates}
