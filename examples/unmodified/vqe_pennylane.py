"""The ground state of a ring of spins in a transverse field, by a variational circuit and gradient descent."""

import argparse

import numpy as np
import pennylane as qml

SPINS, FIELD = 4, 1.0
LAYERS = SPINS // 2  # with this ansatz as many reach the ground state of a ring exactly

PAIRS = [(spin, (spin + 1) % SPINS) for spin in range(SPINS)]
ENERGY = qml.sum(
    *(-(qml.Z(a) @ qml.Z(b)) for a, b in PAIRS),
    *(-FIELD * qml.X(spin) for spin in range(SPINS)),
)


@qml.qnode(qml.device("default.qubit", wires=SPINS))
def energy(angles):
    """Alternate between the two parts of the Hamiltonian, from all spins along the field on."""
    for spin in range(SPINS):
        qml.Hadamard(spin)
    for coupling, rotation in angles:
        for a, b in PAIRS:
            qml.IsingZZ(coupling, wires=[a, b])
        for spin in range(SPINS):
            qml.RX(rotation, wires=spin)
    return qml.expval(ENERGY)


def main():
    """Train, and compare with the exact energy."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=60)
    steps = options.parse_args().steps

    exact = np.linalg.eigvalsh(qml.matrix(ENERGY, wire_order=range(SPINS)))[0]
    start = np.random.default_rng(7).uniform(0.1, 0.5, (LAYERS, 2))
    angles = qml.numpy.array(start, requires_grad=True)
    optimizer = qml.MomentumOptimizer(0.02, momentum=0.85)
    for step in range(steps):
        angles, value = optimizer.step_and_cost(energy, angles)
        if step % 10 == 0:
            print(f"step {step:3d}: energy {value:.5f}")
    value = energy(angles)
    print(f"energy {value:.5f}, exact {exact:.5f}, error {value - exact:.5f}")


if __name__ == "__main__":
    main()
