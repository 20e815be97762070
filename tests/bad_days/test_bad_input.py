"""Numbers, states and circuits that are none: counted, logged once, and what was usable is kept."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.reader import StoredRun

NewMonitor = Callable[..., QuantumMonitor]
Value = Callable[..., "float | None"]

RUN = {"experiment": "h2", "run": "a"}
BELL = np.array([1, 0, 0, 1]) / math.sqrt(2)
LARGE = np.full(2**10, 2.0**-5)


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> QuantumMonitor:
    return new_monitor().start_run("a")


@pytest.fixture
def refused(monitor: QuantumMonitor, value: Value) -> Callable[[str], float]:
    """How often input was refused at a place since the test began, as ``/metrics`` counts it."""
    before = FAULTS.errors.copy()

    def count(where: str) -> float:
        return (value(monitor, "quantum_monitor_errors_total", where=where) or 0) - before[where]

    return count


# Training steps


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_shown_as_such_and_is_no_best_loss(
    monitor: QuantumMonitor, value: Value, loss: float
) -> None:
    monitor.log_training_step(loss, np.ones(9), np.ones(9), 0)
    assert value(monitor, "quantum_training_loss", **RUN) == pytest.approx(loss, nan_ok=True)
    assert value(monitor, "quantum_training_best_loss", **RUN) is None
    assert value(monitor, "quantum_training_steps_total", **RUN) == 1


NO_NUMBER = ["0.5", b"0.5", [], {}, [0.5, 0.5], 1 + 1j, print, np.array([]), np.array(["0.5"]), [None], 10**400]


@pytest.mark.parametrize("loss", NO_NUMBER, ids=lambda loss: repr(loss)[:20])
def test_a_loss_that_is_no_number_costs_the_step_its_loss_only(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float], loss: object
) -> None:
    monitor.log_training_step(loss, np.ones(9), np.ones(9), 3)
    assert refused("loss") == 1
    assert value(monitor, "quantum_training_loss", **RUN) is None
    assert value(monitor, "quantum_training_gradient_norm", **RUN) == 3.0
    assert value(monitor, "quantum_training_step", **RUN) == 3


NO_VECTOR = [
    "text",
    b"bytes",
    [],
    np.array([]),
    np.zeros((0, 3)),
    [[], []],
    ["a", 1.0],
    np.array(["1"]),
    np.array([object()]),
    np.array(["2026-01-01"], dtype="datetime64"),
    np.zeros(2, dtype=[("x", float)]),
    print,
    {1, 2},
]


@pytest.mark.parametrize("argument", ["gradients", "parameters"])
@pytest.mark.parametrize("given", NO_VECTOR, ids=lambda given: repr(given)[:20])
def test_what_holds_no_numbers_costs_the_step_that_argument_only(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float], argument: str, given: object
) -> None:
    arguments: dict[str, Any] = {"gradients": np.ones(9), "parameters": np.ones(9), argument: given}
    monitor.log_training_step(0.5, **arguments, step=0)
    assert refused(argument) == 1
    assert value(monitor, "quantum_training_loss", **RUN) == 0.5
    kept, lost = ("parameter", "gradient") if argument == "gradients" else ("gradient", "parameter")
    assert value(monitor, f"quantum_training_{kept}_norm", **RUN) == 3.0
    assert value(monitor, f"quantum_training_{lost}_norm", **RUN) is None


@pytest.mark.parametrize(
    "given",
    [
        np.array([3.0, 4.0, 12.0], dtype=object),
        np.array([[3.0], [4.0], [12.0]]),
        [[3], [[4.0, None]], np.float32(12)],
        np.array([3 + 4j, 12j]),
        np.array([3 + 4j, 12], dtype=object),
        np.array([3, 4, 12], dtype=np.float16),
        np.array([3, 4, 12], dtype=">f8"),
        np.array([3, 0, 4, 0, 12, 0], dtype=np.float64)[::2],
        np.array([3.0, 4.0, 12.0], dtype=np.longdouble),
        np.array(13.0),
    ],
    ids=repr,
)
def test_numbers_in_an_odd_wrapping_have_their_norm(monitor: QuantumMonitor, value: Value, given: object) -> None:
    monitor.log_training_step(0.5, given, given, 0)
    assert value(monitor, "quantum_training_gradient_norm", **RUN) == 13.0
    assert value(monitor, "quantum_training_parameter_norm", **RUN) == 13.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_shown_as_such(monitor: QuantumMonitor, value: Value, bad: float) -> None:
    gradient = np.ones(20)
    gradient[3] = bad
    monitor.log_training_step(0.5, gradient, np.ones(20), 0)
    assert value(monitor, "quantum_training_gradient_norm", **RUN) == pytest.approx(bad, nan_ok=True)
    assert monitor.get_comprehensive_summary()["training_summary"]["gradient_explosion_count"] == 1


@pytest.mark.parametrize("offset", [1.0, 1e3, 1e6])
def test_single_precision_with_a_large_offset_is_right_to_double_precision(
    monitor: QuantumMonitor, value: Value, offset: float
) -> None:
    numbers = (offset + np.random.default_rng(0).normal(0, 1e-3 * offset, 300)).astype(np.float32)
    exact = [Fraction(float(number)) for number in numbers]
    mean = sum(exact) / len(exact)
    variance = float(sum((number - mean) ** 2 for number in exact) / len(exact))
    monitor.log_training_step(0.5, numbers, numbers, 0)
    monitor.log_metrics({"angles": numbers})
    names = ("std", "mean")
    statistics = [value(monitor, "quantum_custom_metric", **RUN, name=f"angles_{name}") for name in names]
    shown = value(monitor, "quantum_training_gradient_component_variance", **RUN)
    assert shown == pytest.approx(variance, rel=1e-12)
    assert statistics == [pytest.approx(math.sqrt(variance), rel=1e-12), pytest.approx(float(mean), rel=1e-12)]


def test_statistics_of_an_array_survive_numbers_whose_sum_and_squares_overflow(
    monitor: QuantumMonitor, value: Value
) -> None:
    monitor.log_metrics({"x": [1.5e308, 1.7e308]})
    shown = {name: value(monitor, "quantum_custom_metric", **RUN, name=f"x_{name}") for name in ("mean", "std")}
    assert shown == {"mean": pytest.approx(1.6e308), "std": pytest.approx(1e307)}


def test_complex_numbers_under_a_name_are_refused_and_not_taken_apart(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float]
) -> None:
    monitor.log_metrics({"x": 1 + 2j, "y": np.array([1j, 2.0]), "z": 3 + 0j})
    assert refused("metrics") == 2
    assert value(monitor, "quantum_custom_metric", **RUN, name="z") == 3.0
    assert value(monitor, "quantum_custom_metric", **RUN, name="x_mean") is None


# Steps


def test_steps_that_go_back_are_kept_in_the_order_they_came(monitor: QuantumMonitor, value: Value) -> None:
    steps = [5, 3, 3, -7, 10**15, 0]
    for step in steps:
        monitor.log_training_step(float(step), None, None, step)
    assert value(monitor, "quantum_training_step", **RUN) == 0
    assert value(monitor, "quantum_training_steps_total", **RUN) == len(steps)
    assert monitor.loss_history == steps
    monitor.end_run()
    assert monitor.run_path is not None
    assert StoredRun(monitor.run_path).series("loss").step.tolist() == steps


@pytest.mark.parametrize("step", [2**60, -(2**60), 10**400, "3", 1.5, math.nan, math.inf, [1, 2], print], ids=str)
def test_a_step_that_is_no_number_of_a_step_costs_the_record_its_step_only(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float], step: object
) -> None:
    monitor.log_training_step(0.5, np.ones(9), np.ones(9), step)
    monitor.log_metrics({"x": 1.0}, step)
    monitor.log_quantum_state(BELL, step)
    assert refused("step") == 3
    assert value(monitor, "quantum_training_loss", **RUN) == 0.5
    assert value(monitor, "quantum_training_step", **RUN) is None
    assert value(monitor, "quantum_state_purity", **RUN) == 1.0


# States


def test_a_state_that_is_not_normalised_is_measured_normalised_and_says_so(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float]
) -> None:
    for factor in (3.0, 1e-200, 1e200):
        monitor.log_quantum_state(BELL * factor, 0, reference_state=BELL * 7)
        assert value(monitor, "quantum_state_norm", **RUN) == pytest.approx(factor, rel=1e-12)
        assert value(monitor, "quantum_state_entanglement_entropy", **RUN) == pytest.approx(1.0, rel=1e-12)
        assert value(monitor, "quantum_state_fidelity", **RUN) == pytest.approx(1.0, rel=1e-12)
    assert refused("state_norm") == 3


NO_STATE = [
    None,
    5.0,
    "state",
    [],
    [1.0],
    np.zeros(4),
    np.ones(3),
    np.array([1, math.nan, 0, 0]),
    np.array([1, math.inf, 0, 0]),
    [[1.0, 0.0], [0.0]],
    np.ones((2, 2, 2)),
    np.ones((2, 4)),
    np.array([[1.0, 5.0], [-5.0, 0.0]]),
    np.diag([1.5, -0.5]),
    np.array(["a", "b"]),
    print,
    np.zeros(2**10),
    np.full(2**10, math.nan),
    np.full((2**6, 2**6), math.nan),
]


@pytest.mark.parametrize("state", NO_STATE, ids=lambda state: repr(state)[:25].replace("\n", ""))
def test_what_is_no_state_is_counted_and_shows_nothing(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float], state: object
) -> None:
    monitor.log_quantum_state(state, 0)
    assert refused("log_quantum_state") == 1
    assert value(monitor, "quantum_state_norm", **RUN) is None
    assert value(monitor, "quantum_state_purity", **RUN) is None
    assert monitor.get_comprehensive_summary()["quantum_summary"]["states_logged"] == 0


@pytest.mark.parametrize("state", [BELL, np.eye(4) / 4, LARGE, np.eye(2**6) / 2**6], ids=["4", "4x4", "1024", "64x64"])
@pytest.mark.parametrize(
    "reference",
    ["ground", [1, 0], np.eye(2), np.zeros(1024), np.full(1024, math.nan), np.full((64, 64), math.nan), print],
    ids=["text", "2", "2x2", "zeros", "nan", "nan matrix", "object"],
)
def test_a_reference_that_does_not_fit_costs_the_fidelity_only(
    monitor: QuantumMonitor, refused: Callable[[str], float], state: object, reference: object
) -> None:
    monitor.log_quantum_state(state, 0, reference_state=reference)
    summary = monitor.get_metrics_summary()
    assert summary["purity"]["latest"] > 0
    assert summary["norm"]["latest"] == pytest.approx(1.0)
    assert "fidelity" not in summary
    assert refused("reference_state") == 1
    assert monitor.get_comprehensive_summary()["quantum_summary"]["states_logged"] == 1


# Circuits and backends


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("circuit_description", "OPENQASM nonsense"),
        ("circuit_description", {"gates": [{"type": "h"}]}),
        ("circuit_description", object()),
        ("execution_time", -1.0),
        ("execution_time", "fast"),
        ("execution_time", math.inf),
        ("queue_time", math.nan),
        ("cost", [1.0, 2.0]),
        ("shots", 0.5),
        ("shots", 1e300),
        ("status", "exploded"),
        ("status", object()),
    ],
    ids=lambda given: repr(given)[:20],
)
def test_what_is_wrong_with_an_execution_costs_that_argument_only(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float], argument: str, given: object
) -> None:
    arguments = {
        "circuit_description": {"gates": [{"type": "h", "qubit": 0}]},
        "execution_time": 2.0,
        "cost": 1.0,
        "shots": 10,
        "backend_info": "aer",
    }
    monitor.log_circuit_execution(**{**arguments, argument: given})  # type: ignore[arg-type]
    place = {**RUN, "backend": "aer"}
    status = "failed" if argument == "status" else "success"
    assert refused(argument) == 1
    assert value(monitor, "quantum_circuit_executions_total", **place, status=status) == 1
    shown = {
        "circuit_description": value(monitor, "quantum_circuit_gates", **place),
        "execution_time": value(monitor, "quantum_circuit_execution_duration_seconds_sum", **place),
        "cost": value(monitor, "quantum_cost_total", **place, currency="USD", kind="reported"),
        "shots": value(monitor, "quantum_circuit_shots_total", **place),
    }
    expected = {"circuit_description": 1, "execution_time": 2.0, "cost": 1.0, "shots": 10}
    assert {name: shown[name] for name in shown if name != argument} == {
        name: expected[name] for name in expected if name != argument
    }
    assert not shown.get(argument)


def test_what_is_wrong_with_a_backends_status_costs_that_fact_only(
    monitor: QuantumMonitor, value: Value, refused: Callable[[str], float]
) -> None:
    monitor.log_backend_status("x", up=True, pending_jobs=-3, t1=[math.nan, "a"], utilization=7, error_rates=[0.1])  # type: ignore[arg-type]
    monitor.log_backend_status("x", up=True, qubits=5, error_rates={"2q": 1.5, "1q": 0.01})
    assert {where: refused(where) for where in ("pending_jobs", "t1", "utilization", "error_rates")} == {
        "pending_jobs": 1,
        "t1": 1,
        "utilization": 1,
        "error_rates": 2,
    }
    assert value(monitor, "quantum_backend_up", backend="x") == 1
    assert value(monitor, "quantum_backend_qubits", backend="x") == 5
    assert value(monitor, "quantum_backend_error_ratio", backend="x", operation="1q") == 0.01
    assert value(monitor, "quantum_backend_error_ratio", backend="x", operation="2q") is None


@pytest.mark.parametrize("given", [None, 5, "text", ["a"], print, [("a", 1)]], ids=repr)
def test_what_is_no_mapping_is_counted_where_one_is_expected(
    monitor: QuantumMonitor, refused: Callable[[str], float], given: Any
) -> None:
    monitor.log_metrics(given)
    monitor.log_params(given)
    monitor.set_tags(given)
    monitor.log_training_step(0.5, None, None, 0, additional_metrics=given)
    counted = 0 if given is None else 1
    assert refused("params") == refused("tags") == counted
    assert refused("metrics") == 2 * counted


# How it is told


def test_each_cause_is_logged_once_and_counted_always(
    monitor: QuantumMonitor,
    refused: Callable[[str], float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(50):
        monitor.log_training_step("high", None, None, number)
        monitor.log_training_step(object(), None, None, number)  # its address in memory makes no other cause
        monitor.log_circuit_execution(None, -1.0 - number)
        monitor.log_metrics({"x": None})
    causes = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [cause.partition(":")[0] for cause in causes] == ["loss", "loss", "execution_time", "metrics"]
    assert (refused("loss"), refused("execution_time"), refused("metrics")) == (100, 50, 50)


class _Refuses(logging.Handler):
    def emit(self, _: logging.LogRecord) -> None:
        raise OSError("no space left for the log")


def test_a_log_handler_that_raises_reaches_no_log_call(
    monitor: QuantumMonitor, refused: Callable[[str], float]
) -> None:
    logger, handler = logging.getLogger("quantum_monitor"), _Refuses()
    logger.addHandler(handler)
    try:
        monitor.log_training_step("high", None, None, 0)
    finally:
        logger.removeHandler(handler)
    assert refused("loss") == 1


def test_numpy_told_to_raise_costs_no_record(monitor: QuantumMonitor) -> None:
    huge = np.full(9, 1e200)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(3):
            monitor.log_training_step(1.0, huge * (1 + step), huge * (-1) ** step, step)
            monitor.log_metrics({"x": [1e308, -1e308], "gradient_norm": 1e308}, step)
            monitor.log_quantum_state(np.full(4, 1e200), step, reference_state=np.full(4, 1e-200))
            monitor.log_quantum_state(np.full(2**10, 1e200), step, reference_state=np.full(2**10, 1e-200))
    summary = monitor.get_metrics_summary()
    assert summary["loss"]["count"] == summary["parameter_norm"]["count"] == 3
    assert summary["x_mean"]["count"] == 3
    assert summary["fidelity"]["count"] == 6


class _Interrupts:
    """Somebody presses Ctrl-C while this is read."""

    def __array__(self, *_: object, **__: object) -> np.ndarray[Any, Any]:
        raise KeyboardInterrupt

    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __bool__(self) -> bool:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "log",
    [
        lambda monitor: monitor.log_training_step(_Interrupts(), None, None, 0),
        lambda monitor: monitor.log_training_step(0.5, _Interrupts(), None, 0),
        lambda monitor: monitor.log_metrics({"x": _Interrupts()}),
        lambda monitor: monitor.log_metrics({_Interrupts(): 1.0}),
        lambda monitor: monitor.log_quantum_state(_Interrupts(), 0),
        lambda monitor: monitor.log_circuit_execution(None, _Interrupts()),
        lambda monitor: monitor.log_backend_status("x", up=_Interrupts()),
        lambda monitor: monitor.log_params({"x": _Interrupts()}),
        lambda monitor: monitor.set_tags({"x": _Interrupts()}),
    ],
)
def test_an_interrupt_goes_through_and_holds_no_lock(
    monitor: QuantumMonitor, log: Callable[[QuantumMonitor], None]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        log(monitor)
    other = threading.Thread(target=monitor.log_training_step, args=(0.25, np.ones(9), np.ones(9), 1), daemon=True)
    other.start()
    other.join(20)
    assert not other.is_alive()
    assert monitor.loss_history[-1] == 0.25
