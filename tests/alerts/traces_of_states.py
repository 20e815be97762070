"""Labelled traces of the states that a run prepares: drift, references, entanglement."""

from __future__ import annotations

import math

import numpy as np

from tests.alerts.trace_physics import Ansatz, Vector, ground_state, ising, zero_state
from tests.alerts.traces import Fires, Training, trace


def _drifted(angle: float) -> Vector:
    """A GHZ state of three qubits, prepared with an over-rotation."""
    state = np.zeros(8)
    state[0], state[7] = math.cos(math.pi / 4 + angle), math.sin(math.pi / 4 + angle)
    return state


@trace(
    "slow drift: an over-rotation that grows to a fidelity of 0.85 in ten minutes, and is calibrated away",
    fires={"fidelity_drop": Fires(300.0, 420.0, told=2)},
)
def _(training: Training) -> None:
    for step in range(900):
        angle = 0.4 * step / 600 if step < 700 else 0.02
        training.step(step, 0.1, training.random.normal(size=8), np.ones(8), takes=1.0)
        noisy = _drifted(angle + 0.01 * training.random.normal())
        training.monitor.log_quantum_state(noisy, step, _drifted(0.0))


@trace("slow drift that stays within 0.04")
def _(training: Training) -> None:
    for step in range(600):
        training.step(step, 0.1, training.random.normal(size=8), np.ones(8), takes=1.0)
        training.monitor.log_quantum_state(_drifted(0.2 * step / 600), step, _drifted(0.0))


@trace(
    "drift of nine qubits, whose entropies are measured in the background",
    fires={"fidelity_drop": Fires(8.0, 25.0)},
)
def _(training: Training) -> None:
    target = zero_state(9)
    for step in range(200):
        state = target.copy()
        angle = 0.0 if step < 80 else 0.4
        state[0], state[1] = math.cos(angle), math.sin(angle)
        training.step(step, 0.1, training.random.normal(size=8), np.ones(8))
        training.monitor.log_quantum_state(state, step, target)


@trace("the reference changes: a new one every 100 steps (VQD)")
def _(training: Training) -> None:
    levels = np.linalg.eigh(ising(3, 0.5))[1].T
    for step in range(400):
        level = levels[step // 100]
        mixed = 0.1 + 0.85 * min(1.0, step % 100 / 60)  # the share of the level sought in the state
        state = math.sqrt(mixed) * level + math.sqrt(1 - mixed) * levels[7]
        training.step(step, 1.0 - step / 400, training.random.normal(size=8), np.ones(8))
        training.monitor.log_quantum_state(state, step, level)


@trace(
    "the reference is a new but equal array at each step, and the fidelity falls",
    fires={"fidelity_drop": Fires(10.0, 25.0)},
)
def _(training: Training) -> None:
    for step in range(200):
        training.step(step, 0.1, training.random.normal(size=8), np.ones(8))
        training.monitor.log_quantum_state(_drifted(0.0 if step < 100 else 0.3), step, _drifted(0.0).copy())


def _towards_a_product_state(training: Training) -> None:
    """An Ising chain of four qubits in a strong field: the ground state is nearly a product."""
    matrix, exact = ising(4, 3.0), ground_state(ising(4, 3.0))
    ansatz = Ansatz(qubits=4, layers=4)

    def after(step: int, angles: Vector) -> None:
        training.monitor.log_quantum_state(ansatz.state(angles), step, exact)

    training.descend(
        lambda angles: ansatz.loss_and_gradient(angles, lambda state: matrix @ state),
        training.random.uniform(0, 2 * np.pi, size=ansatz.parameters),
        300,
        rate=0.02,
        after=after,
    )


@trace("entanglement falls on the way to a product state: nobody asked", alert_config={"gradient_explosion": 50.0})
def _(training: Training) -> None:
    _towards_a_product_state(training)


@trace(
    "entanglement falls on the way to a product state: asked for",
    fires={"entanglement_loss": Fires(1.0, 20.0)},
    alert_config={"gradient_explosion": 50.0, "entanglement_loss": 0.1},
)
def _(training: Training) -> None:
    _towards_a_product_state(training)


@trace(
    "product states only, where entanglement is watched: rounding is no entanglement",
    alert_config={"entanglement_loss": 0.1},
)
def _(training: Training) -> None:
    for step in range(200):
        angle = 0.01 * step
        state = np.kron([math.cos(angle), math.sin(angle)], [math.cos(2 * angle), math.sin(2 * angle)])
        training.step(step, 1.0 - step / 200)
        training.monitor.log_quantum_state(state, step)
