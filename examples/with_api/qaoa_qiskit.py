"""The largest cut of a small graph by QAOA on a noisy simulator; SciPy minimises, every evaluation is logged."""

import argparse

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from scipy.optimize import minimize

from quantum_monitor import QuantumMonitor

NODES = 5
EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)]
LAYERS, SHOTS = 2, 2048
ERRORS = {"1q": 0.001, "2q": 0.01, "readout": 0.02}


def noise():
    """Errors as of a superconducting chip."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(ERRORS["1q"], 1), ["rx", "h", "rz"])
    model.add_all_qubit_quantum_error(depolarizing_error(ERRORS["2q"], 2), ["cx"])
    wrong = ERRORS["readout"]
    model.add_all_qubit_readout_error(ReadoutError([[1 - wrong, wrong], [wrong, 1 - wrong]]))
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
    """Train the angles in a run, and look at the cuts that they give."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=40, help="evaluations of the circuit, at most")
    steps = options.parse_args().steps

    backend = AerSimulator(noise_model=noise(), seed_simulator=11)
    circuit = transpile(ansatz(), basis_gates=["rx", "rz", "h", "cx"], seed_transpiler=11)
    largest = max(cut(f"{number:0{NODES}b}") for number in range(2**NODES))
    monitor = QuantumMonitor("maxcut", alert_config={"circuit_failures": 0.1})
    evaluations = iter(range(steps + 1))

    def counts(angles):
        bound = circuit.assign_parameters(angles)
        result = backend.run(bound, shots=SHOTS).result()
        monitor.log_circuit_execution(bound, result.time_taken, backend_info=backend, shots=SHOTS)
        return result.get_counts()

    def loss(angles):
        found = counts(angles)
        value = -sum(cut(bits) * number for bits, number in found.items()) / SHOTS
        hit = sum(number for bits, number in found.items() if cut(bits) == largest) / SHOTS
        monitor.log_training_step(value, None, angles, next(evaluations), {"largest_cut_share": hit})
        return value

    with monitor.start_run(f"p={LAYERS}"):
        monitor.log_params({"nodes": NODES, "edges": EDGES, "layers": LAYERS, "shots": SHOTS})
        monitor.set_tags({"optimizer": "COBYLA", "noise": "depolarizing and readout"})
        monitor.log_backend_status(backend.name, up=True, pending_jobs=0, error_rates=ERRORS, qubits=NODES)
        monitor.log_circuit(circuit, "ansatz")
        start = np.array([0.5, -1.0, 1.0, -0.5])  # as in annealing: the cost comes up while the mixer goes down
        found = minimize(loss, start, method="COBYLA", options={"maxiter": steps, "rhobeg": 0.3})
        best = max(counts(found.x), key=cut)
        monitor.log_metrics({"best_cut": cut(best), "approximation_ratio": -found.fun / largest})

    summary = monitor.get_metrics_summary()
    print(f"best cut {best}: {cut(best)} edges, largest possible {largest}")
    print(f"{summary['largest_cut_share']['latest']:.0%} of the samples are largest cuts; {found.nfev} evaluations")
    print(f"a circuit has depth {summary['circuit_depth']['latest']:.0f}")
    print(f"the run is kept in {monitor.run_path}")


if __name__ == "__main__":
    main()
