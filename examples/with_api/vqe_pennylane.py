"""The ground state of a ring of spins in a transverse field, by a variational circuit; every step is logged."""

import argparse
import time

import numpy as np
import pennylane as qml

from quantum_monitor import QuantumMonitor
from quantum_monitor.physics import circuit_facts

SPINS, FIELD = 4, 1.0
LAYERS = SPINS // 2  # with this ansatz as many reach the ground state of a ring exactly
RATE, SEED = 0.02, 7

PAIRS = [(spin, (spin + 1) % SPINS) for spin in range(SPINS)]
ENERGY = qml.sum(
    *(-(qml.Z(a) @ qml.Z(b)) for a, b in PAIRS),
    *(-FIELD * qml.X(spin) for spin in range(SPINS)),
)
DEVICE = qml.device("default.qubit", wires=SPINS)


def ansatz(angles):
    """Alternate between the two parts of the Hamiltonian, from all spins along the field on."""
    for spin in range(SPINS):
        qml.Hadamard(spin)
    for coupling, rotation in angles:
        for a, b in PAIRS:
            qml.IsingZZ(coupling, wires=[a, b])
        for spin in range(SPINS):
            qml.RX(rotation, wires=spin)


@qml.qnode(DEVICE)
def energy(angles):
    """What is minimised."""
    ansatz(angles)
    return qml.expval(ENERGY)


@qml.qnode(DEVICE)
def state(angles):
    """What the circuit prepares, to be compared with the ground state."""
    ansatz(angles)
    return qml.state()


def main():
    """Train in a run, and compare with the exact energy."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=60)
    steps = options.parse_args().steps

    levels, states = np.linalg.eigh(qml.matrix(ENERGY, wire_order=range(SPINS)))
    angles = qml.numpy.array(np.random.default_rng(SEED).uniform(0.1, 0.5, (LAYERS, 2)), requires_grad=True)
    tape = qml.workflow.construct_tape(energy)(angles)
    facts = circuit_facts(tape)  # once: depth and gates stay the same while the angles are trained
    optimizer = qml.MomentumOptimizer(RATE, momentum=0.85)

    monitor = QuantumMonitor("ising-ring")
    with monitor.start_run(f"{LAYERS} layers"):
        monitor.log_params({"spins": SPINS, "field": FIELD, "layers": LAYERS, "rate": RATE, "seed": SEED})
        monitor.log_circuit(tape, "ansatz")
        for step in range(steps):
            began = time.perf_counter()
            (gradient,), value = optimizer.compute_grad(energy, (angles,), {})
            monitor.log_circuit_execution(facts, time.perf_counter() - began, backend_info=DEVICE)
            monitor.log_training_step(value, gradient, angles, step)
            if step % 10 == 0:
                monitor.log_quantum_state(state(angles), step, reference_state=states[:, 0])
            (angles,) = optimizer.apply_grad((gradient,), (angles,))
        monitor.log_quantum_state(state(angles), steps, reference_state=states[:, 0])
        monitor.log_model("angles", angles, {"energy": float(energy(angles))})

    known = monitor.get_comprehensive_summary()
    print(f"energy {energy(angles):.5f}, exact {levels[0]:.5f}")
    print(f"fidelity {monitor.fidelity_history[-1]:.5f} after {known['training_summary']['total_steps']} steps")
    print(f"the run is kept in {monitor.run_path}")


if __name__ == "__main__":
    main()
