"""Callbacks: what optimizers tell becomes training steps, and the objective is called no more often than without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy
from scipy import optimize
from scipy.optimize import NonlinearConstraint, rosen, rosen_der

from quantum_monitor import QuantumMonitor
from quantum_monitor.callbacks import TorchSteps, qiskit_callback, scipy_callback
from quantum_monitor.faults import FAULTS

NewMonitor = Callable[..., QuantumMonitor]

START = np.array([-1.2, 1.0, 0.7])
minimize: Any = optimize.minimize  # called here as people call it, not as its overloads would have it
WITH_GRADIENT = {"L-BFGS-B", "BFGS", "SLSQP", "TNC", "trust-constr"}
TELL_NO_LOSS = {"TNC"}


def latest(monitor: QuantumMonitor, field: str) -> float:
    run = monitor._last_run
    assert run is not None
    return run.latest[field]


def steps(monitor: QuantumMonitor) -> int:
    run = monitor._last_run
    assert run is not None
    return run.steps


# SciPy


@pytest.mark.parametrize(
    "method", ["L-BFGS-B", "BFGS", "SLSQP", "COBYLA", "COBYQA", "Nelder-Mead", "Powell", "TNC", "trust-constr"]
)
def test_each_iteration_of_scipy_is_a_step_and_costs_no_evaluation(new_monitor: NewMonitor, method: str) -> None:
    seen: list[np.ndarray[Any, Any]] = []
    options = {"maxiter": 15} if method != "TNC" else {"maxfun": 60}
    given = {"method": method, "options": options, "jac": rosen_der if method in WITH_GRADIENT else None}
    plain = minimize(rosen, START, callback=lambda x, *_: seen.append(x.copy()), **given)
    monitor = new_monitor().start_run("a")
    watched = minimize(rosen, START, callback=scipy_callback(), **given)
    assert np.array_equal(watched.x, plain.x)
    assert watched.nfev == plain.nfev
    assert steps(monitor) == len(seen) > 0
    assert latest(monitor, "parameter_norm") == pytest.approx(np.linalg.norm(seen[-1]))
    known = not (method in TELL_NO_LOSS or tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 11))
    if known or method == "trust-constr":
        assert monitor.loss_history == pytest.approx([rosen(x) for x in seen])
    elif method in TELL_NO_LOSS:
        assert monitor.loss_history == []
    run = monitor._last_run
    assert run is not None
    assert ("gradient_norm" in run.latest) == (method == "trust-constr")


def test_the_gradient_is_the_objectives_where_constraints_have_one_too(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    bound = NonlinearConstraint(lambda x: x @ x, -np.inf, 9.0, jac=lambda x: 2 * x)
    points: list[Any] = []
    callback = scipy_callback(monitor)

    def both(x: Any, state: Any) -> None:
        points.append(x)
        callback(x, state)  # as versions before 1.11 call it

    minimize(
        rosen, START, method="trust-constr", jac=rosen_der, constraints=[bound], options={"maxiter": 8}, callback=both
    )
    assert steps(monitor) == len(points) > 1
    assert latest(monitor, "gradient_norm") == pytest.approx(np.linalg.norm(rosen_der(points[-1])))
    assert latest(monitor, "loss") == pytest.approx(rosen(points[-1]))


def test_steps_go_to_the_run_that_is_active_at_the_time(new_monitor: NewMonitor) -> None:
    first, second = new_monitor(), new_monitor()
    callback = scipy_callback()
    callback(START)  # no run: told to nobody
    with first.start_run("a"):
        callback(START)
        with second.start_run("b"):
            callback(START)
            callback(START)
    assert (steps(first), steps(second)) == (1, 2)


def test_what_cannot_be_read_is_counted_and_stops_no_optimizer(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Torn:
        fun = 1.0
        grad = None

        @property
        def x(self) -> float:
            raise RuntimeError("torn")

    monkeypatch.delenv("QUANTUM_MONITOR_RAISE")
    monitor = new_monitor().start_run("a")
    before = FAULTS.errors["callback"], FAULTS.errors["parameters"]
    callback = scipy_callback(monitor)
    callback(Torn())
    callback("no numbers")
    assert (FAULTS.errors["callback"], FAULTS.errors["parameters"]) == (before[0] + 1, before[1] + 1)


# Qiskit

NOTED = [2, np.array([3.0, 4.0]), 0.5]


def test_what_qiskit_calls_back_with_becomes_steps(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    callback = qiskit_callback()
    callback(*NOTED, 0.25, True)  # SPSA
    assert latest(monitor, "parameter_norm") == 5.0
    callback(4, np.array([9.0, 9.0]), 9.0, 0.25, False)  # SPSA, not accepted
    callback(*NOTED, 0.125)  # GradientDescent
    callback(*NOTED)  # UMDA
    callback(*NOTED, {"shots": 100})  # VQE
    callback(*NOTED, {"shots": 100}, 1)  # VQD
    assert monitor.loss_history == [0.5] * 5
    run = monitor._last_run
    assert run is not None
    assert run.custom == {"stepsize": 0.125}
    assert [record.step for record in run.history.of("training")] == [0, 1, 2, 3, 4]


def test_optimizers_of_qiskit_call_back(new_monitor: NewMonitor) -> None:
    algorithms = pytest.importorskip("qiskit_algorithms")
    optimizers = pytest.importorskip("qiskit_algorithms.optimizers")
    from qiskit.circuit.library import efficient_su2
    from qiskit.primitives import StatevectorEstimator
    from qiskit.quantum_info import SparsePauliOp

    monitor = new_monitor()
    for optimizer in (
        optimizers.SPSA(maxiter=4, callback=qiskit_callback(), learning_rate=0.1, perturbation=0.1),
        optimizers.GradientDescent(maxiter=4, callback=qiskit_callback()),
        optimizers.COBYLA(maxiter=12, callback=scipy_callback()),
    ):
        monitor.start_run()
        found = optimizer.minimize(lambda x: float(x @ x), START)
        assert steps(monitor) >= 4
        assert latest(monitor, "parameters") == 3
        assert min(monitor.loss_history) < START @ START
        assert np.isfinite(found.fun)

    ansatz = efficient_su2(2, reps=1)
    evaluated: list[float] = []
    callback = qiskit_callback()

    def both(count: int, parameters: Any, value: float, metadata: dict[str, Any]) -> None:
        evaluated.append(value)
        callback(count, parameters, value, metadata)

    monitor.start_run()
    vqe = algorithms.VQE(StatevectorEstimator(), ansatz, optimizers.COBYLA(maxiter=10), callback=both)
    vqe.compute_minimum_eigenvalue(SparsePauliOp(["ZZ", "XI"], [1.0, 0.5]))
    assert monitor.loss_history == evaluated
    run = monitor._last_run
    assert run is not None
    assert run.latest.get("parameters") in (None, ansatz.num_parameters)  # never the first of them alone


# PyTorch


def test_each_step_of_torch_is_logged_with_its_gradients_and_the_loss_if_told(new_monitor: NewMonitor) -> None:
    torch = pytest.importorskip("torch")
    monitor = new_monitor().start_run("a")
    model = torch.nn.Linear(3, 1, dtype=torch.float64)
    unused = torch.nn.Parameter(torch.zeros(2))  # without a gradient
    optimizer = torch.optim.SGD([*model.parameters(), unused], lr=0.1)
    watched = TorchSteps(optimizer)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = (model(torch.ones(5, 3, dtype=torch.float64)) ** 2).mean()
        assert watched.loss(loss) is loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert monitor.loss_history == losses
    gradient = torch.cat([p.grad.ravel() for p in model.parameters()])
    assert latest(monitor, "gradient_norm") == pytest.approx(gradient.norm().item())
    assert latest(monitor, "parameters") == 6
    optimizer.step()  # its loss was not told
    assert (steps(monitor), len(monitor.loss_history)) == (5, 4)
    watched.close()
    optimizer.step()
    assert steps(monitor) == 5


def test_an_optimizer_of_torch_that_calls_a_closure_is_one_step(new_monitor: NewMonitor) -> None:
    torch = pytest.importorskip("torch")
    monitor = new_monitor().start_run("a")
    x = torch.tensor(START, requires_grad=True)
    optimizer = torch.optim.LBFGS([x], max_iter=5)
    watched = TorchSteps(optimizer, monitor)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = watched.loss((x**2).sum())
        loss.backward()
        return loss

    optimizer.step(closure)
    optimizer.step(closure)
    assert steps(monitor) == len(monitor.loss_history) == 2
