"""A quantum kernel on Braket's local simulator; its circuits are logged, and what they would cost on hardware."""

import argparse
import itertools
import time

import numpy as np
from braket.circuits import Circuit
from braket.devices import LocalSimulator

from quantum_monitor import QuantumMonitor, estimate

SHOTS = 400


def features(point):
    """A point of the plane as a state of two qubits."""
    circuit = Circuit()
    for _ in range(2):
        circuit.h([0, 1]).rz(0, point[0]).rz(1, point[1])
        circuit.cnot(0, 1).rz(1, point[0] * point[1]).cnot(0, 1)
    return circuit


def overlaps(monitor, device, pairs):
    """Squared overlaps of pairs of states, each the share of 00 after one circuit and the other undone."""
    shares = []
    for a, b in pairs:
        circuit = features(a).add_circuit(features(b).adjoint())
        began = time.perf_counter()
        result = device.run(circuit, shots=SHOTS).result()
        monitor.log_circuit_execution(circuit, time.perf_counter() - began, backend_info=device, shots=SHOTS)
        shares.append(result.measurement_probabilities.get("00", 0.0))
    return np.array(shares)


def dataset(size, rng):
    """Points around the corners of a square; opposite corners belong together."""
    corners = 1.1 * np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])
    which = np.arange(size) % 4
    return corners[which] + rng.normal(0, 0.15, (size, 2)), np.where(which < 2, 1.0, -1.0)


def main():
    """Fit kernel ridge regression, and judge by points it has not seen."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--points", type=int, default=8, help="to learn from, and as many to be judged by")
    size = options.parse_args().points

    rng, device = np.random.default_rng(2), LocalSimulator()
    known, labels = dataset(size, rng)
    unknown, truth = dataset(size, rng)
    pairs = list(itertools.combinations(range(size), 2))
    kernel = np.eye(size)

    monitor = QuantumMonitor("kernel")
    with monitor.start_run("two qubits"):
        monitor.log_params({"points": size, "shots": SHOTS})
        kernel[tuple(zip(*pairs, strict=True))] = overlaps(monitor, device, [(known[a], known[b]) for a, b in pairs])
        kernel = np.maximum(kernel, kernel.T)
        monitor.log_metrics({"kernel": kernel})  # of an array, mean, deviation and extremes are kept
        weights = np.linalg.solve(kernel + 0.3 * np.eye(size), labels)
        across = overlaps(monitor, device, itertools.product(unknown, known)).reshape(size, size)
        accuracy = float(np.mean(np.sign(across @ weights) == truth))
        monitor.log_metrics({"accuracy": accuracy})
        monitor.log_model("kernel ridge", {"points": known, "weights": weights})

    circuits = len(pairs) + size**2
    price = estimate(features(known[0]), "Garnet", SHOTS, executions=circuits)
    print(f"accuracy {accuracy:.3f} on {size} points it has not seen, by {circuits} circuits")
    print(f"on the QPU {price.entry} they would cost about {price.amount:.2f} {price.currency}, as of {price.on}")
    print(f"the run is kept in {monitor.run_path}")


if __name__ == "__main__":
    main()
