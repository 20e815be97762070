"""Labelled traces of training: steps and states."""

from __future__ import annotations

import math

import numpy as np

from tests.alerts.trace_physics import (
    Ansatz,
    Vector,
    global_cost,
    ground_state,
    hydrogen,
    local_cost,
)
from tests.alerts.traces import Fires, Training, trace

_SMALL = Ansatz(qubits=2, layers=6)
_WIDE = Ansatz(qubits=12, layers=5)
_EQUILIBRIUM, _SHORT = hydrogen(0.7414), hydrogen(0.4)


def _near(ansatz: Ansatz, training: Training, spread: float = 0.1) -> Vector:
    return spread * training.random.normal(size=ansatz.parameters)


def _anywhere(ansatz: Ansatz, training: Training) -> Vector:
    return training.random.uniform(0, 2 * np.pi, size=ansatz.parameters)


def _energy(training: Training, matrix: Vector, steps: int, *, first: int = 0, noise: float = 0.0) -> None:
    """A variational eigensolver on two qubits, with its state and the exact one every tenth step."""
    exact = ground_state(matrix)

    def after(step: int, angles: Vector) -> None:
        if step % 10 == 0:
            training.monitor.log_quantum_state(_SMALL.state(angles), step, exact)

    training.descend(
        lambda angles: _SMALL.loss_and_gradient(angles, lambda state: matrix @ state),
        _near(_SMALL, training),
        steps,
        rate=0.2,
        first=first,
        noise=noise,
        after=after,
    )


@trace("converging: VQE of H2 with 12 parameters")
def _(training: Training) -> None:
    _energy(training, _EQUILIBRIUM, 400)


@trace("noisy but healthy: the same with the shot noise of 1,000 shots")
def _(training: Training) -> None:
    _energy(training, _EQUILIBRIUM, 400, noise=0.03)


@trace("noisy but healthy: fidelity noise of 0.01 over 1,000 steps")
def _(training: Training) -> None:
    for step in range(1_000):
        loss = math.exp(-step / 200) + 0.02 * training.random.normal()
        training.step(step, loss, training.random.normal(size=20), np.ones(20))
        training.monitor.log_metrics({"fidelity": 0.97 + 0.01 * training.random.normal()}, step)


@trace("noisy but healthy: QAOA whose loss goes up and down")
def _(training: Training) -> None:
    for step in range(600):
        gradient = (1 + 0.5 * math.sin(step / 15)) * training.random.normal(size=10)
        training.step(step, -3 + math.sin(step / 15) + 0.3 * training.random.normal(), gradient, np.ones(10))


@trace("converged and quiet: H2, then nothing but zeros for five minutes")
def _(training: Training) -> None:
    _energy(training, _EQUILIBRIUM, 3_000)


@trace("converged and quiet: H2 at 0.4 angstrom, 0.01 hartree below Hartree-Fock")
def _(training: Training) -> None:
    training.descend(
        lambda angles: _SMALL.loss_and_gradient(angles, lambda state: _SHORT @ state),
        _near(_SMALL, training, 0.02),
        1_500,
        rate=0.2,
    )


@trace("one parameter: the double excitation of H2, converged")
def _(training: Training) -> None:
    low, high, exchange = _EQUILIBRIUM[0, 0], _EQUILIBRIUM[3, 3], _EQUILIBRIUM[0, 3]

    def energy(angle: Vector) -> tuple[float, Vector]:
        c, s = np.cos(angle), np.sin(angle)
        value = (low + high) / 2 + (low - high) / 2 * c + exchange * s
        return float(value[0]), -(low - high) / 2 * s + exchange * c

    training.descend(energy, np.zeros(1), 1_000, rate=0.4)


@trace(
    "plateau: global cost on 12 qubits from a random start",
    fires={"barren_plateau": Fires(50.0, 55.0)},
)
def _(training: Training) -> None:
    training.descend(
        lambda angles: _WIDE.loss_and_gradient(angles, global_cost),
        _anywhere(_WIDE, training),
        160,
        rate=0.1,
        takes=0.5,
    )


@trace(
    "plateau that is left: the same, then from a start near the identity",
    fires={"barren_plateau": Fires(50.0, 55.0)},
)
def _(training: Training) -> None:
    _plateau_from(training, _anywhere(_WIDE, training), steps=120, first=0)
    _plateau_from(training, _near(_WIDE, training), steps=120, first=120)


def _plateau_from(training: Training, angles: Vector, *, steps: int, first: int) -> None:
    def cost(here: Vector) -> tuple[float, Vector]:
        return _WIDE.loss_and_gradient(here, global_cost)

    training.descend(cost, angles, steps, rate=0.1, first=first, takes=0.5)


@trace("no plateau: local cost on the same 12 qubits")
def _(training: Training) -> None:
    shallow = Ansatz(qubits=12, layers=2)
    training.descend(
        lambda angles: shallow.loss_and_gradient(angles, local_cost), _anywhere(shallow, training), 250, rate=0.5
    )


@trace(
    "restart onto a plateau: a converged loop, then a random start on 12 qubits",
    fires={"barren_plateau": Fires(15.0 + 50.0, 15.0 + 110.0)},
)
def _(training: Training) -> None:
    _energy(training, _EQUILIBRIUM, 150)
    _plateau_from(training, _anywhere(_WIDE, training), steps=220, first=0)


@trace(
    "explosion: a readout layer trained with a rate too large, up to infinity",
    fires={"gradient_explosion": Fires(0.5, 20.0), "loss_not_finite": Fires(20.0, 150.0)},
)
def _(training: Training) -> None:
    features = np.array([_SMALL.state(_near(_SMALL, training, 1.0)) for _ in range(30)])
    targets = training.random.normal(size=30)

    def loss(weights: Vector) -> tuple[float, Vector]:
        error = features @ weights - targets
        return float(error @ error) / len(error), 2 * features.T @ error / len(error)

    with np.errstate(all="ignore"):
        training.descend(loss, np.zeros(4), 1_600, rate=6.0)


@trace("explosion of one step, then as before", fires={"gradient_explosion": Fires(10.0, 10.3)})
def _(training: Training) -> None:
    for step in range(2_500):
        gradient = training.random.normal(size=10) * (50.0 if step == 100 else 0.1)
        training.step(step, 1.0 / (step + 1), gradient, np.ones(10))


@trace(
    "explosion that lasts for ten minutes: told again every five",
    fires={"gradient_explosion": Fires(10.0, 10.3, told=3)},
)
def _(training: Training) -> None:
    for step in range(9_000):
        gradient = training.random.normal(size=10) * (10.0 if 100 <= step < 6_500 else 0.1)
        training.step(step, 1.0, gradient, np.ones(10))


@trace(
    "NaN: a damping rate is trained beyond 1, under a square root",
    fires={"loss_not_finite": Fires(0.5, 5.0)},
)
def _(training: Training) -> None:
    def loss(rates: Vector) -> tuple[float, Vector]:
        with np.errstate(invalid="ignore"):
            coherence = np.sqrt(1 - rates)
        return float(coherence.mean()), -0.5 / coherence / len(rates)

    training.descend(loss, np.linspace(0.3, 0.6, 8), 200, rate=0.4)


@trace("NaN in one step, then as before", fires={"loss_not_finite": Fires(5.0, 5.3)})
def _(training: Training) -> None:
    for step in range(2_500):
        training.step(step, math.nan if step == 50 else 1.0 / (step + 1), training.random.normal(size=10), np.ones(10))


@trace("NaN in every other step, where three in a row are allowed", alert_config={"loss_not_finite": 3})
def _(training: Training) -> None:
    for step in range(300):
        training.step(step, math.nan if step % 2 else 1.0, training.random.normal(size=10), np.ones(10))


@trace("without gradients: COBYLA, from above 1 to convergence")
def _(training: Training) -> None:
    for step in range(1_000):
        training.step(step, 1.5 * math.exp(-step / 50), None, np.ones(10))


@trace(
    "without gradients, with a rule of the user's own on the loss",
    fires={"loss": Fires(53.7, 54.0)},
    alert_config={"loss": {"above": 5.0}},
)
def _(training: Training) -> None:
    for step in range(2_500):
        training.step(step, 6.0 if step == 537 else 1.0)


@trace("restart: the step goes back to 0, the loss jumps, the fidelity is that of a random state")
def _(training: Training) -> None:
    _energy(training, _EQUILIBRIUM, 300)
    _energy(training, _SHORT, 300)


@trace("restart: every step logs its fidelity, which falls from 1 to that of a random state")
def _(training: Training) -> None:
    exact = ground_state(_EQUILIBRIUM)
    for start in (_near(_SMALL, training), _anywhere(_SMALL, training)):
        training.descend(
            lambda angles: _SMALL.loss_and_gradient(angles, lambda state: _EQUILIBRIUM @ state),
            start,
            200,
            rate=0.2,
            after=lambda step, angles: training.monitor.log_quantum_state(_SMALL.state(angles), step, exact),
        )


@trace("restart: a second run of the same name")
def _(training: Training) -> None:
    _energy(training, _EQUILIBRIUM, 300)
    training.monitor.end_run()
    training.monitor.start_run("trace")
    _energy(training, _SHORT, 300)


@trace("restart: resumed at step 5,000 from a converged checkpoint")
def _(training: Training) -> None:
    for step in range(5_000, 5_600):
        training.step(step, -1.13727, 1e-6 * training.random.normal(size=12), np.ones(12))


@trace("epochs: the step is the number of the batch, and begins anew each 20 steps")
def _(training: Training) -> None:
    for number in range(1_000):
        fidelity = 0.99 - 0.1 * math.exp(-number / 100) + 0.003 * training.random.normal()
        training.step(number % 20, 1.0 / (number + 1), training.random.normal(size=10), np.ones(10))
        training.monitor.log_metrics({"fidelity": fidelity}, number % 20)


@trace("without any change: a loss and a gradient that are the same in every step, but not flat")
def _(training: Training) -> None:
    gradient = training.random.normal(size=10)
    for step in range(600):
        training.step(step, 1.0, gradient, np.ones(10))
