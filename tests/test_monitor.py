"""What the training loop can rely on: runs, log calls, summaries."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import urllib.request
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Gauge

from quantum_monitor import (
    ConfigurationError,
    QuantumMonitor,
    create_quantum_monitor,
    current_monitor,
    monitor_quantum_training,
    state_metric,
)
from quantum_monitor.faults import FAULTS
from quantum_monitor.plugins import unregister
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

BELL = np.array([1, 0, 0, 1]) / math.sqrt(2)
RUN = {"experiment": "h2", "run": "a"}


def shown(monitor: Any, metric: Any, **labels: Any) -> Any:
    return monitor.registry.get_sample_value(metric, labels)


def series(monitor: Any) -> Any:
    return [sample for family in monitor.registry.collect() for sample in family.samples]


# Runs


def test_a_with_block_around_start_run_makes_exactly_one_run(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor.start_run("a") as same:
        assert same is monitor
        run_id = monitor.current_run_id
        monitor.log_metrics({"x": 1})
        assert monitor.current_run_id == run_id
    assert not monitor.is_running
    assert len(find_runs(monitor.storage_path)) == 1


def test_a_with_block_around_the_monitor_makes_exactly_one_run(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor:
        assert monitor.is_running
    assert [StoredRun(path).status for path in find_runs(monitor.storage_path)] == ["completed"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("x"), "failed"),
        (KeyboardInterrupt(), "stopped"),
        (SystemExit(1), "failed"),
        (SystemExit(0), "completed"),
    ],
    ids=repr,
)
def test_an_exception_ends_the_run_and_goes_through(new_monitor: Any, error: Any, status: Any) -> None:
    monitor = new_monitor()
    with pytest.raises(type(error)), monitor.start_run("a"):
        raise error
    assert StoredRun(monitor.run_path).status == status
    assert shown(monitor, "quantum_run_status", **RUN, status=status) == 1
    assert shown(monitor, "quantum_run_status", **RUN, status="running") == 0


def test_ending_a_run_twice_is_harmless(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.end_run("failed")
    monitor.end_run("completed")
    assert StoredRun(monitor.run_path).status == "failed"


def test_an_unknown_status_is_counted_and_kept_as_stopped(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    before = FAULTS.errors["end_run"]
    monitor.end_run("FINISHED")
    assert FAULTS.errors["end_run"] == before + 1
    assert StoredRun(monitor.run_path).status == "stopped"


def test_starting_a_run_ends_the_one_before(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    first = monitor.run_path
    monitor.start_run("b")
    assert StoredRun(first).status == "completed"
    assert monitor.is_running


def test_logging_without_a_run_starts_one(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.log_training_step(1.0, np.ones(9), np.ones(9), 0)
    assert monitor.is_running
    assert monitor.loss_history == [1.0]


def test_a_second_run_of_a_name_gets_a_label_of_its_own(new_monitor: Any) -> None:
    monitor = new_monitor()
    for _ in range(2):
        with monitor.start_run("a"):
            monitor.log_metrics({"loss": 1.0}, 0)
    assert shown(monitor, "quantum_training_loss", experiment="h2", run="a-2") == 1.0
    assert shown(monitor, "quantum_training_loss", **RUN) == 1.0


def test_a_run_without_a_name_goes_by_its_short_id(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run()
    assert shown(monitor, "quantum_run_status", experiment="h2", run=monitor.current_run_id[:8], status="running") == 1


def test_the_current_monitor_is_the_one_whose_run_is_active(new_monitor: Any) -> None:
    one, two = new_monitor(), new_monitor()
    assert current_monitor() is None
    with one.start_run("a"):
        assert current_monitor() is one
        with two.start_run("b"):
            assert current_monitor() is two
        assert current_monitor() is one
    assert current_monitor() is None


def test_a_function_runs_inside_a_run_and_its_result_comes_back(new_monitor: Any) -> None:
    monitor = new_monitor()
    assert monitor_quantum_training(monitor, lambda x, y: (x, y, monitor.is_running), 1, y=2) == (1, 2, True)
    assert not monitor.is_running
    with pytest.raises(ZeroDivisionError):
        monitor_quantum_training(monitor, lambda: 1 / 0)
    assert StoredRun(monitor.run_path).status == "failed"


def test_a_run_knows_the_framework_that_was_loaded_at_its_start(new_monitor: Any) -> None:
    pennylane = pytest.importorskip("pennylane")
    monitor = new_monitor()
    monitor.start_run("a")
    info = next(sample for sample in series(monitor) if sample.name == "quantum_run_info")
    assert info.labels == {
        **RUN,
        "run_id": monitor.current_run_id,
        "framework": "pennylane",
        "version": pennylane.__version__,
        "git_commit": "",
    }


def test_of_nested_blocks_the_outer_one_ends_the_run(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        with monitor:
            monitor.log_metrics({"x": 1})
        assert monitor_quantum_training(monitor, lambda: monitor.is_running)
        assert monitor.is_running
    assert not monitor.is_running
    assert len(find_runs(monitor.storage_path)) == 1


def test_what_is_logged_after_the_end_of_a_monitor_is_refused_and_counted(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.close()
    before = FAULTS.errors["log_training_step"], FAULTS.errors["log_metrics"]
    monitor.log_training_step(1.0, None, None, 0)
    monitor.log_metrics({"x": 1})
    assert (FAULTS.errors["log_training_step"], FAULTS.errors["log_metrics"]) == (before[0] + 1, before[1] + 1)
    assert len(find_runs(monitor.storage_path)) == 1
    monitor.start_run("b")
    assert current_monitor() is monitor


def test_the_end_of_one_monitor_leaves_the_sampling_of_another(new_monitor: Any) -> None:
    one, two = new_monitor(), new_monitor(registry=None)
    three = new_monitor(registry=None)
    with two.start_run("a"):
        two.start_realtime_monitoring(0.05)
        three.start_realtime_monitoring(0.05)
        three.close()
        one.close()
        deadline = time.monotonic() + 20
        while not two.get_metrics_summary().get("process_memory_bytes") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert two.get_metrics_summary()["process_memory_bytes"]["count"] >= 1


WORKER = """
import multiprocessing, sys
from quantum_monitor import QuantumMonitor

def work(storage, discovery):
    monitor = QuantumMonitor("h2", metrics_port=0, storage_path=storage, discovery_dir=discovery)
    monitor.start_run("a")
    monitor.log_training_step(1.0, None, None, 0)

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=sys.argv[2:])
    process.start()
    process.join(60)
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_monitor_of_a_worker_process_ends_with_it(tmp_path: Any, method: str) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    storage, discovery = tmp_path / "runs", tmp_path / "targets"
    subprocess.run([sys.executable, script, method, storage, discovery], check=True, timeout=90)
    assert [StoredRun(path).status for path in find_runs(storage)] == ["completed"]
    assert not list(discovery.glob("*.json"))


# Training


def test_a_training_step_shows_its_numbers(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    gradient, first, second = np.arange(10.0), np.ones(10), np.full(10, 1.5)
    monitor.log_training_step(2.0, gradient * 2, first, 0)
    monitor.log_training_step(3.0, gradient, second, 7, additional_metrics={"learning_rate": 0.1})
    expected = {
        "steps_total": 2,
        "step": 7,
        "loss": 3.0,
        "best_loss": 2.0,
        "gradient_norm": np.linalg.norm(gradient),
        "gradient_variance": np.var([np.linalg.norm(gradient * 2), np.linalg.norm(gradient)]),
        "gradient_component_variance": np.var(gradient),
        "parameter_norm": np.linalg.norm(second),
        "parameter_change": np.linalg.norm(second - first),
        "parameters": 10,
        "step_duration_seconds_count": 1,
    }
    for name, value in expected.items():
        assert shown(monitor, f"quantum_training_{name}", **RUN) == pytest.approx(value, rel=1e-12), name
    assert shown(monitor, "quantum_custom_metric", **RUN, name="learning_rate") == 0.1


def test_fewer_than_eight_components_have_no_component_variance(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_training_step(1.0, np.ones(7), np.ones(7), 0)
    assert shown(monitor, "quantum_training_gradient_component_variance", **RUN) is None
    assert shown(monitor, "quantum_training_gradient_norm", **RUN) == pytest.approx(math.sqrt(7))


def test_what_was_not_measured_is_absent_and_what_was_stays(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_training_step(1.0, None, None, 0)
    assert shown(monitor, "quantum_training_gradient_norm", **RUN) is None
    monitor.log_training_step(None, np.ones(9), None, 1)
    assert shown(monitor, "quantum_training_loss", **RUN) == 1.0
    assert shown(monitor, "quantum_training_gradient_norm", **RUN) == 3.0
    assert shown(monitor, "quantum_training_parameter_norm", **RUN) is None
    assert shown(monitor, "quantum_state_fidelity", **RUN) is None


def test_numpys_warnings_as_errors_cost_no_step(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    for step, scale in enumerate((1.0, 1e200, math.inf)):
        monitor.log_training_step(1.0, np.full(9, scale), np.full(9, scale), step)
    assert monitor.get_metrics_summary()["gradient_norm"]["count"] == 3
    assert monitor._last_run.history.series("gradient_norm")[:2] == [3.0, pytest.approx(3e200)]


def test_gradients_over_the_limit_are_counted(new_monitor: Any) -> None:
    monitor = new_monitor(alert_config={"gradient_explosion": 5.0})
    monitor.start_run("a")
    for norm in (4.9, 5.1, math.nan, math.inf):
        monitor.log_training_step(1.0, [norm], [1.0], 0)
    assert monitor.get_comprehensive_summary()["training_summary"]["gradient_explosion_count"] == 3


@pytest.mark.parametrize("name", ["loss", "training_loss", "quantum_loss", "quantum_training_loss"])
def test_a_loss_under_any_of_its_names_with_a_step_is_a_training_step(new_monitor: Any, name: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_metrics({name: 0.5, "accuracy": 0.9}, step=3)
    assert shown(monitor, "quantum_training_steps_total", **RUN) == 1
    assert shown(monitor, "quantum_training_step", **RUN) == 3
    assert shown(monitor, "quantum_training_loss", **RUN) == 0.5
    assert shown(monitor, "quantum_custom_metric", **RUN, name="accuracy") == 0.9
    assert monitor.loss_history == [0.5]


def test_a_loss_without_a_step_is_no_training_step(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_metrics({"loss": 0.5})
    assert shown(monitor, "quantum_training_steps_total", **RUN) == 0
    assert shown(monitor, "quantum_training_loss", **RUN) == 0.5
    assert shown(monitor, "quantum_training_best_loss", **RUN) == 0.5


def test_a_fidelity_logged_under_an_old_name_lands_in_its_metric_and_history(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_metrics({"quantum_fidelity": 0.8}, 0)
    monitor.log_metrics({"fidelity": 0.7}, 1)
    assert shown(monitor, "quantum_state_fidelity", **RUN) == 0.7
    assert shown(monitor, "quantum_state_best_fidelity", **RUN) == 0.8
    assert monitor.fidelity_history == [0.8, 0.7]


def test_an_array_is_logged_as_its_statistics(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_metrics({"angles": [[1.0, 2.0], [3.0, 6.0]]}, 0)
    values = {name: shown(monitor, "quantum_custom_metric", **RUN, name=f"angles_{name}") for name in ("mean", "std")}
    assert values == {"mean": 3.0, "std": pytest.approx(np.std([1, 2, 3, 6]))}
    assert shown(monitor, "quantum_custom_metric", **RUN, name="angles_min") == 1.0
    assert shown(monitor, "quantum_custom_metric", **RUN, name="angles_max") == 6.0


# States, circuits, backends


def test_a_state_shows_its_measures_and_a_fidelity_only_with_a_reference(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_quantum_state(BELL * 2, 0)
    state = {
        name: shown(monitor, f"quantum_state_{name}", **RUN) for name in ("norm", "qubits", "entanglement_entropy")
    }
    assert state == {"norm": pytest.approx(2.0), "qubits": 2.0, "entanglement_entropy": pytest.approx(1.0)}
    assert shown(monitor, "quantum_state_global_entanglement", **RUN) == pytest.approx(1.0)
    assert shown(monitor, "quantum_state_participation_ratio", **RUN) == pytest.approx(2.0)
    assert shown(monitor, "quantum_state_fidelity", **RUN) is None
    monitor.log_quantum_state(BELL, 1, reference_state=[1, 0, 0, 0])
    assert shown(monitor, "quantum_state_fidelity", **RUN) == pytest.approx(0.5)


def test_a_mixed_state_has_a_von_neumann_entropy_and_no_entanglement_entropy(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_quantum_state(np.eye(4) / 4, 0)
    assert shown(monitor, "quantum_state_von_neumann_entropy", **RUN) == pytest.approx(2.0)
    assert shown(monitor, "quantum_state_purity", **RUN) == pytest.approx(0.25)
    assert shown(monitor, "quantum_state_entanglement_entropy", **RUN) is None


@pytest.mark.parametrize("qubits", [8, 9, 12])
def test_large_and_small_states_get_the_same_measures(new_monitor: Any, qubits: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    ghz = np.zeros(2**qubits, dtype=complex)
    ghz[0] = ghz[-1] = 3.0
    reference = np.zeros(2**qubits)
    reference[0] = 0.1
    monitor.log_quantum_state(ghz, 5, reference_state=reference)
    ghz[:] = 0  # the caller may go on with its buffer at once
    summary = monitor.get_metrics_summary()
    expected = {"fidelity": 0.5, "norm": 3 * math.sqrt(2), "qubits": qubits, "entanglement_entropy": 1.0}
    expected |= {"global_entanglement": 1.0, "participation_ratio": 2.0, "purity": 1.0}
    assert {name: summary[name]["latest"] for name in expected} == {n: pytest.approx(v) for n, v in expected.items()}


def test_a_large_density_matrix_is_measured_in_the_background(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_quantum_state(np.eye(128) / 128, 0, reference_state=np.eye(128) / 128)
    summary = monitor.get_metrics_summary()
    assert summary["von_neumann_entropy"]["latest"] == pytest.approx(7.0)
    assert summary["fidelity"]["latest"] == pytest.approx(1.0)


def test_states_that_come_faster_than_the_budget_are_sampled_and_counted(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    state = np.random.default_rng(0).normal(size=2**12)
    before = FAULTS.drops["entropies", "budget"]
    for step in range(50):
        monitor.log_quantum_state(state, step)
    monitor.end_run()
    records = [record for _, record in StoredRun(monitor.run_path).records(kinds=["state"])]
    measured = [record.step for record in records if "purity" in record.fields]
    assert len([record for record in records if "norm" in record.fields]) == 50
    assert measured[-1] == 49
    assert len(measured) + FAULTS.drops["entropies", "budget"] - before == 50


@pytest.mark.parametrize("state", [np.ones(4), np.ones(2**10), np.eye(128)], ids=["small", "large", "matrix"])
def test_a_state_metric_of_ones_own_sees_states_of_any_size(new_monitor: Any, state: Any) -> None:
    @state_metric("entries")
    def entries(array: Any) -> float:
        return float(np.asarray(array).size)

    monitor = new_monitor()
    try:
        monitor.start_run("a")
        monitor.log_quantum_state(state, 0)
        assert monitor.get_metrics_summary()["entries"]["latest"] == state.size
    finally:
        unregister("entries")


def test_a_cost_of_nothing_adds_no_currency(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_circuit_execution(None, 1.0, cost=2.0, backend_info={"name": "q", "currency": "EUR"})
    monitor.log_circuit_execution(None, 1.0, backend_info="q")
    assert monitor.get_comprehensive_summary()["execution_summary"]["costs"] == {"EUR": 2.0}


def test_a_custom_metric_called_cost_stays_apart_from_money(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_metrics({"cost": -1.1}, 0)
    monitor.log_circuit_execution(None, 1.0, cost=5.0)
    summary = monitor.get_metrics_summary()
    assert (summary["cost"]["latest"], summary["circuit_cost"]["latest"]) == (-1.1, 5.0)


def test_what_the_background_says_of_a_state_gives_way_to_a_later_one(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    product = np.zeros(2**12)
    product[0] = 1.0
    monitor.log_quantum_state(product, 0)
    monitor.log_quantum_state(BELL, 1)
    monitor.get_metrics_summary()  # waits for the background
    assert shown(monitor, "quantum_state_entanglement_entropy", **RUN) == pytest.approx(1.0)
    assert shown(monitor, "quantum_state_qubits", **RUN) == 2


def test_a_large_density_matrix_has_its_fidelity_with_a_vector_at_once(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    reference = np.zeros(2**6)
    reference[0] = 1.0
    for step in range(20):
        monitor.log_quantum_state(np.eye(2**6) / 2**6, step, reference_state=reference)
    assert len(monitor.fidelity_history) == 20


def test_a_circuit_execution_shows_its_facts_and_counts(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    circuit = {
        "gates": [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}, {"type": "s", "qubit": 2}]
    }
    monitor.log_circuit_execution(
        circuit, 0.5, queue_time=30.0, cost=0.25, backend_info={"name": "ibm_x", "currency": "EUR"}, shots=1000
    )
    monitor.log_circuit_execution(circuit, 1.5, backend_info="ibm_x", shots=24, status="failed")
    place = {**RUN, "backend": "ibm_x"}
    expected: dict[Any, float] = {
        ("quantum_circuit_executions_total", ("status", "success")): 1,
        ("quantum_circuit_executions_total", ("status", "failed")): 1,
        ("quantum_circuit_executions_total", ("status", "cancelled")): 0,
        ("quantum_circuit_execution_duration_seconds_sum",): 2.0,
        ("quantum_circuit_execution_duration_seconds_bucket", ("le", "1.0")): 1,
        ("quantum_circuit_queue_duration_seconds_count",): 2,
        ("quantum_circuit_depth",): 2,
        ("quantum_circuit_two_qubit_depth",): 1,
        ("quantum_circuit_gates",): 3,
        ("quantum_circuit_two_qubit_gates",): 1,
        ("quantum_circuit_qubits",): 3,
        ("quantum_circuit_shots_total",): 1024,
        ("quantum_cost_total", ("currency", "EUR"), ("kind", "reported")): 0.25,
    }
    for (name, *labels), value in expected.items():
        assert shown(monitor, name, **place, **dict(labels)) == value, name


def test_no_queue_and_no_cost_is_claimed_where_none_was_given(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_circuit_execution({"gates": []}, 0.1)
    names = {sample.name for sample in series(monitor)}
    assert "quantum_circuit_execution_duration_seconds_count" in names
    assert not any(
        name.startswith(("quantum_cost", "quantum_circuit_queue", "quantum_circuit_shots")) for name in names
    )


class _Named:
    name = "fake_backend"


class _NamedByMethod:
    def name(self) -> Any:
        return "old_backend"


@pytest.mark.parametrize(
    ("info", "label"),
    [
        (None, "unknown"),
        ("aer", "aer"),
        ({"name": "aer", "type": "simulator"}, "aer"),
        ({}, "unknown"),
        (_Named(), "fake_backend"),
        (_NamedByMethod(), "old_backend"),
        ("x" * 500, "x" * 128),
    ],
    ids=["none", "text", "mapping", "nameless", "object", "method", "long"],
)
def test_a_backend_goes_by_its_own_name(new_monitor: Any, info: Any, label: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_circuit_execution(None, 0.1, backend_info=info)
    assert shown(monitor, "quantum_circuit_execution_duration_seconds_count", **RUN, backend=label) == 1


def test_a_backends_status_is_shown_without_a_run_and_outlives_it(new_monitor: Any) -> None:
    monitor = new_monitor(labels={"team": "x"})
    monitor.log_backend_status("ibm_x", up=True, pending_jobs=3, t1=[1e-4, 3e-4, 2e-4], error_rates={"2q": 0.01})
    monitor.log_backend_status("ibm_x", up=False, volume=64)
    assert not monitor.is_running
    place = {"backend": "ibm_x", "team": "x"}
    assert shown(monitor, "quantum_backend_up", **place) == 0
    assert shown(monitor, "quantum_backend_pending_jobs", **place) == 3
    assert shown(monitor, "quantum_backend_t1_seconds", **place) == 2e-4
    assert shown(monitor, "quantum_backend_volume", **place) == 64
    assert shown(monitor, "quantum_backend_error_ratio", **place, operation="2q") == 0.01
    status = monitor.get_comprehensive_summary()["execution_summary"]["hardware_status"]["ibm_x"]
    assert status["error_rates"] == {"2q": 0.01}


# What it knows


def test_the_summary_has_the_promised_keys(new_monitor: Any) -> None:
    keys = {
        "experiment_info": {"name", "run_id", "start_time", "duration", "is_running"},
        "metrics_summary": set(),
        "training_summary": {
            "total_steps",
            "final_loss",
            "best_loss",
            "gradient_explosion_count",
            "convergence_achieved",
        },
        "quantum_summary": {"states_logged", "avg_fidelity", "avg_entanglement", "fidelity_trend"},
        "execution_summary": {"backends_used", "total_cost", "avg_execution_times", "hardware_status"},
        "alert_summary": {"total_alerts"},
        "tracking_status": {"mlflow_enabled", "wandb_enabled", "storage_path"},
    }
    monitor = new_monitor()
    for running in (False, True):
        summary = monitor.get_comprehensive_summary()
        assert summary.keys() == keys.keys()
        for name, inner in keys.items():
            assert inner <= summary[name].keys(), name
        assert summary["experiment_info"]["is_running"] is running
        monitor.start_run("a")


def test_the_summary_says_what_happened(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        for step in range(20):
            monitor.log_training_step(1 + 2.0**-step, np.ones(9) / (step + 1), np.ones(9), step)
        monitor.log_quantum_state(BELL, 20, reference_state=BELL)
        monitor.log_circuit_execution({"gates": []}, 2.0, cost=1.5, backend_info="aer")
        monitor.log_circuit_execution({"gates": []}, 4.0, cost=0.5, backend_info="aer")
    summary = monitor.get_comprehensive_summary()
    training = summary["training_summary"]
    assert training["total_steps"] == 20
    assert training["final_loss"] == training["best_loss"] == 1 + 2.0**-19
    assert training["convergence_achieved"] is False
    assert summary["quantum_summary"]["avg_fidelity"] == pytest.approx(1.0)
    assert summary["quantum_summary"]["avg_entanglement"] == pytest.approx(1.0)
    assert summary["execution_summary"]["backends_used"] == ["aer"]
    assert summary["execution_summary"]["total_cost"] == 2.0
    assert summary["execution_summary"]["avg_execution_times"] == {"aer": 3.0}
    assert monitor.get_metrics_summary()["loss"]["min"] == 1 + 2.0**-19
    assert monitor.get_metrics_summary()["loss"]["count"] == 20
    assert json.loads((monitor.run_path / "run.json").read_text())["summary"]["training_summary"] == training


def test_costs_in_several_currencies_are_not_added_up(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_circuit_execution(None, 1.0, cost=1.0, backend_info={"name": "a", "currency": "EUR"})
    monitor.log_circuit_execution(None, 1.0, cost=2.0, backend_info={"name": "a"})
    execution = monitor.get_comprehensive_summary()["execution_summary"]
    assert execution["total_cost"] is None
    assert execution["costs"] == {"EUR": 1.0, "USD": 2.0}


def test_a_run_converged_when_its_last_losses_agree(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    for step in range(30):
        monitor.log_training_step(-1.137 + 0.5**step, None, None, step)
    assert monitor.get_comprehensive_summary()["training_summary"]["convergence_achieved"] is True
    monitor.log_training_step(math.nan, None, None, 30)
    assert monitor.get_comprehensive_summary()["training_summary"]["convergence_achieved"] is False


def test_summaries_keep_fields_of_the_same_name_apart(new_monitor: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_quantum_state(BELL, 0)
    monitor.log_circuit_execution({"gates": [{"type": "h", "qubit": 0}], "n_qubits": 5}, 0.1)
    monitor.log_backend_status("ibm_x", up=True, qubits=127)
    summary = monitor.get_metrics_summary()
    latest = {name: summary[name]["latest"] for name in ("qubits", "circuit_qubits", "backend_qubits")}
    assert latest == {"qubits": 2, "circuit_qubits": 5, "backend_qubits": 127}


def test_histories_are_bounded(new_monitor: Any) -> None:
    monitor = new_monitor(history_limit=5)
    monitor.start_run("a")
    for step in range(12):
        monitor.log_training_step(float(step), None, None, step)
    assert monitor.loss_history == [7.0, 8.0, 9.0, 10.0, 11.0]


def test_parameters_and_tags_stand_in_the_runs_description(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.log_params({"lr": np.float64(0.1), "layers": 3, "basis": "STO-3G"})
        monitor.log_params({"seed": 7})
        monitor.set_tags({"paper": 1})
    info = StoredRun(monitor.run_path).info
    assert info["params"] == {"lr": 0.1, "layers": 3, "basis": "STO-3G", "seed": 7}
    assert info["tags"] == {"paper": "1"}
    assert info["name"] == "a"
    assert info["experiment"] == "h2"


def test_a_parameter_that_is_an_array_of_millions_is_kept_as_a_short_text(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.log_params({"big": np.zeros(3_000_000), "long": "x" * 1_000_000, "small": [1, 2]})
    params = StoredRun(monitor.run_path).info["params"]
    assert len(params["big"]) <= 10_000
    assert len(params["long"]) == 10_000
    assert params["small"] == [1, 2]


@pytest.mark.parametrize("format_", ["json", "comprehensive"])
def test_nan_becomes_null_in_exported_json(new_monitor: Any, tmp_path: Any, format_: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_training_step(math.nan, [1.0], [math.inf], 0)
    monitor.export_metrics(tmp_path / "out.json", format_)
    text = (tmp_path / "out.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "null" in text


def test_an_export_holds_what_was_logged_so_far(new_monitor: Any, tmp_path: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    monitor.log_training_step(0.5, [3.0, 4.0], [1.0], 0)
    monitor.export_metrics(tmp_path / "out.csv", "csv")
    assert "0.5" in (tmp_path / "out.csv").read_text()


def test_an_unknown_export_format_raises(new_monitor: Any, tmp_path: Any) -> None:
    monitor = new_monitor()
    monitor.start_run("a")
    with pytest.raises(ValueError, match="comprehensive"):
        monitor.export_metrics(tmp_path / "out", "parquet")


def test_an_export_before_any_run_says_so(new_monitor: Any, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="start_run"):
        new_monitor().export_metrics(tmp_path / "out.json")


# The endpoint


def test_the_endpoint_is_up_from_construction_on(new_monitor: Any) -> None:
    monitor = new_monitor(metrics_port=0)
    with urllib.request.urlopen(str(monitor.metrics_url)) as answer:
        assert b"quantum_monitor_build_info" in answer.read()


def test_monitors_of_a_process_share_one_endpoint_and_the_last_one_closes_it(tmp_path: Any) -> None:
    one = QuantumMonitor("one", metrics_port=0, storage_path=tmp_path, enable_mlflow=False)
    two = QuantumMonitor("two", metrics_port=0, storage_path=tmp_path, enable_mlflow=False)
    try:
        assert one.metrics_url == two.metrics_url
        assert one.registry is two.registry
        url = str(two.metrics_url)
        one.start_run("a")
        two.start_run("a")
        text = urllib.request.urlopen(url).read().decode()
        assert 'experiment="one",run="a"' in text
        assert 'experiment="two",run="a"' in text
        one.close()
        assert one.metrics_url is None
        assert urllib.request.urlopen(url).status == 200
    finally:
        two.close()
        one.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_without_a_port_there_is_no_endpoint(new_monitor: Any) -> None:
    assert new_monitor(metrics_port=None).metrics_url is None


def test_a_given_registry_keeps_what_it_has(new_monitor: Any) -> None:
    registry = CollectorRegistry()
    Gauge("mine", "Mine.", registry=registry).set(7)
    monitor = new_monitor(registry=registry)
    assert monitor.registry is registry
    assert registry.get_sample_value("mine") == 7


def test_constant_labels_stand_on_the_series_of_the_run(new_monitor: Any) -> None:
    monitor = new_monitor(labels={"team": "x"})
    monitor.start_run("a")
    monitor.log_metrics({"loss": 1.0})
    assert shown(monitor, "quantum_training_loss", **RUN, team="x") == 1.0


def test_the_endpoint_announces_itself_and_takes_it_back(new_monitor: Any, tmp_path: Any) -> None:
    folder = tmp_path / "discovery"
    monitor = new_monitor(metrics_port=0, discovery_dir=folder)
    (file,) = folder.glob("*.json")
    (target,) = json.loads(file.read_text())
    assert f"http://{target['targets'][0]}/metrics" == monitor.metrics_url
    monitor.close()
    assert not list(folder.glob("*.json"))


def test_wrong_options_raise_at_construction_with_the_mend(new_monitor: Any) -> None:
    with pytest.raises(ConfigurationError, match="gradient_explosion"):
        new_monitor(alert_config={"gradient_explosions": 1.0})
    with pytest.raises(ConfigurationError, match="metrics_port"):
        new_monitor(metrics_port=70_000)
    with pytest.raises(ConfigurationError, match="history_limit"):
        new_monitor(histroy_limit=5)


def test_the_short_constructor_makes_the_same_monitor(tmp_path: Any) -> None:
    monitor = create_quantum_monitor("x", enable_mlflow=False, metrics_port=None, storage_path=tmp_path)
    assert monitor.experiment_name == "x"
    monitor.close()


# The machine


def test_real_time_monitoring_puts_the_machine_into_the_runs_records(new_monitor: Any) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        monitor.start_realtime_monitoring(0.05)
        for _ in range(200):
            if monitor.get_metrics_summary().get("process_memory_bytes"):
                break
            monitor._exporter.machine._stop.wait(0.05)
        monitor.stop_realtime_monitoring()
    assert StoredRun(monitor.run_path).series("process_memory_bytes").value[0] > 1e6


def test_a_scrape_shows_the_machine_without_being_told_to(new_monitor: Any) -> None:
    monitor = new_monitor()
    assert shown(monitor, "quantum_process_memory_bytes") > 1e6
    assert shown(monitor, "quantum_system_memory_total_bytes") > shown(monitor, "quantum_process_memory_bytes")
