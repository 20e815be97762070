"""Automatic steps: what an optimizer of PennyLane tells becomes training steps, and no step is counted twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.faults import FAULTS
from quantum_monitor.run import Run

NewMonitor = Callable[..., QuantumMonitor]

START = pnp.array([0.1, 0.7], requires_grad=True)
DATA = pnp.array([0.3, 0.4], requires_grad=False)
SCALE = pnp.array(0.5, requires_grad=True)


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> Iterator[QuantumMonitor]:
    """A monitor whose run is active, while PennyLane is instrumented."""
    instrument("pennylane")
    yield new_monitor().start_run("a")
    uninstrument()


@qml.qnode(qml.device("default.qubit", wires=2))
def circuit(x: Any) -> Any:
    """An objective with one argument."""
    qml.RX(x[0], 0)
    qml.RY(x[1], 1)
    qml.CNOT([0, 1])
    return qml.expval(qml.Z(1))


@qml.qnode(qml.device("default.qubit", wires=2))
def classifier(x: Any, data: Any, scale: Any) -> Any:
    """An objective with two arguments that are trained and one that is not."""
    qml.AngleEmbedding(data, wires=range(2))
    qml.RX(x[0] * scale, 0)
    qml.RY(x[1], 1)
    qml.CNOT([0, 1])
    return qml.expval(qml.Z(1))


def run_of(monitor: QuantumMonitor) -> Run:
    run = monitor._last_run
    assert run is not None
    return run


def column(monitor: QuantumMonitor, field: str) -> list[float]:
    """A field of all steps that have it."""
    return [record.fields[field] for record in run_of(monitor).history.of("training") if field in record.fields]


def numbers(monitor: QuantumMonitor) -> list[int | None]:
    return [record.step for record in run_of(monitor).history.of("training")]


def executions(monitor: QuantumMonitor) -> int:
    return sum(done.executions["success"] for done in run_of(monitor).circuits.values())


def train(optimizer: Any, method: str, objective: Any, *arguments: Any, count: int = 4) -> tuple[list[Any], list[Any]]:
    """The arguments before each step and after the last, and the costs that were returned."""
    seen, costs = [arguments], []
    for _ in range(count):
        result = getattr(optimizer, method)(objective, *seen[-1])
        if method == "step_and_cost":
            result, cost = result
            costs.append(float(cost))
        seen.append(tuple(result) if isinstance(result, (list, tuple)) else (result,))
    return seen, costs


# What a step tells


@pytest.mark.parametrize("method", ["step", "step_and_cost"])
@pytest.mark.parametrize(
    "optimizer", [qml.GradientDescentOptimizer, qml.MomentumOptimizer, qml.AdamOptimizer, qml.RMSPropOptimizer]
)
def test_a_step_has_loss_gradient_and_new_parameters_at_no_extra_circuit(
    monitor: QuantumMonitor, optimizer: Any, method: str
) -> None:
    seen, _ = train(optimizer(), method, circuit, START)
    assert executions(monitor) == 4
    uninstrument()
    points = [arguments[0] for arguments in seen]
    assert numbers(monitor) == [0, 1, 2, 3]
    assert column(monitor, "loss") == pytest.approx([float(circuit(x)) for x in points[:-1]])
    assert column(monitor, "gradient_norm") == pytest.approx(
        [np.linalg.norm(qml.grad(circuit)(x)) for x in points[:-1]]
    )
    assert column(monitor, "parameter_norm") == pytest.approx([np.linalg.norm(x) for x in points[1:]])


@pytest.mark.parametrize("optimizer", [qml.AdamOptimizer, qml.NesterovMomentumOptimizer, qml.QNGOptimizer])
def test_of_several_arguments_those_that_are_trained_count(monitor: QuantumMonitor, optimizer: Any) -> None:
    seen, costs = train(optimizer(), "step_and_cost", classifier, START, DATA, SCALE)
    assert column(monitor, "parameters") == [3] * 4
    assert column(monitor, "parameter_norm") == pytest.approx([np.linalg.norm([*x, scale]) for x, _, scale in seen[1:]])
    assert column(monitor, "loss") == pytest.approx(costs)
    assert len(column(monitor, "gradient_norm")) == 4


def test_a_gradient_function_of_ones_own_leaves_the_loss_unknown(monitor: QuantumMonitor) -> None:
    optimizer = qml.GradientDescentOptimizer()
    x = START
    for _ in range(3):
        x = optimizer.step(circuit, x, grad_fn=lambda _: pnp.array([3.0, 4.0]))
    assert column(monitor, "gradient_norm") == [5.0] * 3
    assert column(monitor, "loss") == []
    assert run_of(monitor).steps == 3


def test_a_loop_over_compute_grad_and_apply_grad_makes_steps(monitor: QuantumMonitor) -> None:
    optimizer, x, losses = qml.AdamOptimizer(), START, []
    for _ in range(3):
        gradient, loss = optimizer.compute_grad(circuit, (x,), {})
        (x,) = optimizer.apply_grad(gradient, (x,))
        losses.append(float(loss))
    assert column(monitor, "loss") == pytest.approx(losses)
    assert len(column(monitor, "gradient_norm")) == 3


@pytest.mark.parametrize("optimizer", [qml.SPSAOptimizer(maxiter=10), qml.QNSPSAOptimizer(blocking=False, seed=3)])
def test_an_estimating_optimizer_tells_what_it_knows(monitor: QuantumMonitor, optimizer: Any) -> None:
    seen, costs = train(optimizer, "step_and_cost", circuit, START)
    assert column(monitor, "loss") == pytest.approx(costs)
    assert column(monitor, "parameter_norm") == pytest.approx([np.linalg.norm(x) for (x,) in seen[1:]])
    assert len(column(monitor, "gradient_norm")) == (4 if isinstance(optimizer, qml.SPSAOptimizer) else 0)


@pytest.mark.parametrize("method", ["step", "step_and_cost"])
def test_the_optimizer_that_adapts_its_shots_takes_no_variance_for_a_loss(monitor: QuantumMonitor, method: str) -> None:
    @qml.set_shots(10)
    @qml.qnode(qml.device("default.qubit", wires=1, seed=1))
    def energy(x: Any) -> Any:
        qml.RX(x[0], 0)
        qml.RY(x[1], 0)
        return qml.expval(qml.Hamiltonian([1.0, 0.5], [qml.Z(0), qml.X(0)]))

    _, costs = train(qml.ShotAdaptiveOptimizer(min_shots=4), method, energy, START, count=3)
    assert column(monitor, "loss") == pytest.approx(costs)
    assert len(column(monitor, "gradient_norm")) == run_of(monitor).steps == 3


@pytest.mark.parametrize("method", ["step", "step_and_cost"])
def test_rotosolve_tells_the_loss_that_it_evaluated_anyway(monitor: QuantumMonitor, method: str) -> None:
    optimizer, x, losses = qml.RotosolveOptimizer(), START, []
    for _ in range(2):
        losses.append(float(circuit(x)))
        result = getattr(optimizer, method)(circuit, x, nums_frequency={"x": {(0,): 1, (1,): 1}})
        x = result if method == "step" else result[0]
    assert column(monitor, "loss") == pytest.approx(losses)
    assert column(monitor, "parameters") == [2, 2]


@pytest.mark.parametrize("method", ["step", "step_and_cost"])
def test_rotoselect_s_third_value_is_the_loss(monitor: QuantumMonitor, method: str) -> None:
    @qml.qnode(qml.device("default.qubit", wires=2))
    def objective(x: Any, generators: Any = None) -> Any:
        for wire, (generator, value) in enumerate(zip(generators, x, strict=True)):
            generator(value, wires=wire)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    optimizer, x, generators, costs = qml.RotoselectOptimizer(), START, [qml.RX, qml.RY], []
    for _ in range(2):
        x, generators, *cost = getattr(optimizer, method)(objective, x, generators)
        costs += [float(value) for value in cost]
    assert column(monitor, "loss") == pytest.approx(costs)
    assert run_of(monitor).steps == 2


@pytest.mark.parametrize("method", ["step", "step_and_cost"])
def test_optimizers_within_an_optimizer_make_no_steps_of_their_own(monitor: QuantumMonitor, method: str) -> None:
    hamiltonian = qml.Hamiltonian([1.0, 0.5], [qml.Z(0), qml.X(0) @ qml.X(1)])

    @qml.qnode(qml.device("default.qubit", wires=4))
    def state() -> Any:
        qml.BasisState(np.array([1, 1, 0, 0]), wires=range(4))
        return qml.expval(hamiltonian)

    pool = [
        qml.DoubleExcitation(pnp.array(0.0), wires=[0, 1, 2, 3]),
        qml.SingleExcitation(pnp.array(0.0), wires=[0, 2]),
    ]
    adaptive, current = qml.AdaptiveOptimizer(param_steps=3), state
    for _ in range(2):
        result = getattr(adaptive, method)(current, pool)
        current = result if method == "step" else result[0]
    assert run_of(monitor).steps == 2
    assert column(monitor, "loss") == pytest.approx([-1.0, -1.0])
    assert column(monitor, "gradient_norm") == []  # those of the optimizer within are not those of the step


def test_an_optimizer_of_ones_own_that_builds_on_another_makes_one_step(monitor: QuantumMonitor) -> None:
    class Clipping(qml.AdamOptimizer):  # type: ignore[misc]  # a class without types
        def apply_grad(self, grad: Any, args: Any) -> Any:
            return super().apply_grad(tuple(pnp.clip(part, -0.01, 0.01) for part in grad), args)

        def step(self, objective_fn: Any, *args: Any, **options: Any) -> Any:
            return super().step(objective_fn, *args, **options)

    seen, _ = train(Clipping(), "step", circuit, START)
    assert run_of(monitor).steps == 4
    uninstrument()
    assert column(monitor, "loss") == pytest.approx([float(circuit(x)) for (x,) in seen[:-1]])
    assert max(column(monitor, "gradient_norm")) > 0.1  # as it was computed


def test_a_result_that_nobody_foresaw_disturbs_nothing(
    monitor: QuantumMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Surprising:
        @property
        def requires_grad(self) -> bool:
            raise RuntimeError("no tensor of this kind")

    class Odd(qml.GradientDescentOptimizer):  # type: ignore[misc]  # a class without types
        def step(self, objective_fn: Any, *args: Any, **_: Any) -> Any:
            return objective_fn(*args)

    monkeypatch.setenv("QUANTUM_MONITOR_RAISE", "0")
    result = Surprising()
    assert Odd().step(lambda _: result, START) is result
    assert FAULTS.errors["instrumentation"] > 0


def test_a_step_that_raises_is_none(monitor: QuantumMonitor) -> None:
    error = ArithmeticError("no such angle")

    def objective(x: Any) -> Any:
        raise error

    optimizer = qml.AdamOptimizer()
    with pytest.raises(ArithmeticError) as raised:
        optimizer.step(objective, START)
    assert raised.value is error
    train(optimizer, "step", circuit, START, count=2)
    assert numbers(monitor) == [0, 1]


# Nothing is counted twice


@pytest.mark.parametrize("log_first", [True, False])
@pytest.mark.parametrize("by_name", [True, False])
def test_steps_that_the_program_logs_itself_are_the_only_ones(
    monitor: QuantumMonitor, caplog: pytest.LogCaptureFixture, *, log_first: bool, by_name: bool
) -> None:
    optimizer, x = qml.AdamOptimizer(), START

    def log(step: int) -> None:
        if by_name:
            monitor.log_metrics({"loss": 0.1}, step=100 + step)
        else:
            monitor.log_training_step(0.1, None, None, 100 + step)

    with caplog.at_level(logging.INFO, logger="quantum_monitor"):
        for step in range(4):
            if log_first:
                log(step)
            x = optimizer.step(circuit, x)
            if not log_first:
                log(step)
    assert numbers(monitor) == [100, 101, 102, 103]
    assert caplog.text.count("logs its training steps itself") == 1


def test_a_program_that_begins_to_log_later_is_left_to_it(monitor: QuantumMonitor) -> None:
    optimizer, x = qml.AdamOptimizer(), START
    for step in range(6):
        x = optimizer.step(circuit, x)
        if step == 3:
            monitor.log_training_step(0.1, None, None, 100)
    assert numbers(monitor) == [0, 1, 2, 3, 100]


def test_the_first_step_is_logged_when_the_second_begins(monitor: QuantumMonitor) -> None:
    logged = []

    def objective(x: Any) -> Any:
        logged.append(run_of(monitor).steps)
        return circuit(x)

    train(qml.AdamOptimizer(), "step", objective, START)
    assert logged == [0, 1, 2, 3]


def test_the_only_step_of_a_run_is_logged_at_its_end(monitor: QuantumMonitor) -> None:
    x = qml.AdamOptimizer().step(circuit, START)
    assert run_of(monitor).steps == 0
    x[:] = 0.0  # the program may write into its arrays meanwhile
    monitor.end_run()
    assert numbers(monitor) == [0]
    assert column(monitor, "parameter_norm")[0] > 0.5
    assert not monitor.is_running


def test_each_run_numbers_its_steps_from_0(monitor: QuantumMonitor) -> None:
    optimizer = qml.AdamOptimizer()
    train(optimizer, "step", circuit, START, count=2)
    monitor.log_training_step(0.1, None, None, 100)  # in this run, the program does it itself from here on
    monitor.start_run("b")
    train(optimizer, "step", circuit, START, count=3)
    assert numbers(monitor) == [0, 1, 2]
