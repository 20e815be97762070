"""The largest cut of a small graph by QAOA, on a noisy simulator."""

import argparse

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from scipy.optimize import minimize

NODES = 5
EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)]
LAYERS = 2
SHOTS = 2048


def noise():
    """Errors as of a superconducting chip: 0.1 % a rotation, 1 % an entangling gate, 2 % a readout."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.001, 1), ["rx", "h", "rz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), ["cx"])
    model.add_all_qubit_readout_error(ReadoutError([[0.98, 0.02], [0.02, 0.98]]))
    return model


def ansatz():
    """Cost and mixer in turn, measured; the angles are still parameters."""
    angles = ParameterVector("angle", 2 * LAYERS)
    circuit = QuantumCircuit(NODES)
    circuit.h(range(NODES))
    for layer in range(LAYERS):
        for a, b in EDGES:
            circuit.rzz(angles[2 * layer], a, b)
        circuit.rx(angles[2 * layer + 1], range(NODES))
    circuit.measure_all()
    return circuit


def cut(bits):
    """Edges between the nodes marked 0 and those marked 1; Qiskit writes node 0 last."""
    return sum(bits[-1 - a] != bits[-1 - b] for a, b in EDGES)


def main():
    """Train the angles, and look at the cuts that they give."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=40, help="evaluations of the circuit, at most")
    steps = options.parse_args().steps

    backend = AerSimulator(noise_model=noise(), seed_simulator=11)
    circuit = transpile(ansatz(), basis_gates=["rx", "rz", "h", "cx"], seed_transpiler=11)

    def counts(angles):
        return backend.run(circuit.assign_parameters(angles), shots=SHOTS).result().get_counts()

    def loss(angles):
        return -sum(cut(bits) * number for bits, number in counts(angles).items()) / SHOTS

    start = np.array([0.5, -1.0, 1.0, -0.5])  # as in annealing: the cost comes up while the mixer goes down
    found = minimize(loss, start, method="COBYLA", options={"maxiter": steps, "rhobeg": 0.3})
    best = max(counts(found.x), key=cut)
    largest = max(cut(f"{number:0{NODES}b}") for number in range(2**NODES))
    print(f"{found.nfev} evaluations: a sample cuts {-found.fun:.2f} of {len(EDGES)} edges on average")
    print(f"best cut {best}: {cut(best)} edges, largest possible {largest}")


if __name__ == "__main__":
    main()
