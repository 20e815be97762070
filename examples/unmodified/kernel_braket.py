"""A quantum kernel on Braket's local simulator: overlaps of circuits separate what no straight line does."""

import argparse
import itertools

import numpy as np
from braket.circuits import Circuit
from braket.devices import LocalSimulator

SHOTS = 400


def features(point):
    """A point of the plane as a state of two qubits."""
    circuit = Circuit()
    for _ in range(2):
        circuit.h([0, 1]).rz(0, point[0]).rz(1, point[1])
        circuit.cnot(0, 1).rz(1, point[0] * point[1]).cnot(0, 1)
    return circuit


def overlaps(device, pairs):
    """Squared overlaps of pairs of states, each the share of 00 after one circuit and the other undone."""
    circuits = [features(a).add_circuit(features(b).adjoint()) for a, b in pairs]
    batch = device.run_batch(circuits, shots=SHOTS)
    return np.array([result.measurement_probabilities.get("00", 0.0) for result in batch.results()])


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

    kernel = np.eye(size)
    pairs = list(itertools.combinations(range(size), 2))
    kernel[tuple(zip(*pairs, strict=True))] = overlaps(device, [(known[a], known[b]) for a, b in pairs])
    kernel = np.maximum(kernel, kernel.T)
    weights = np.linalg.solve(kernel + 0.3 * np.eye(size), labels)

    across = overlaps(device, itertools.product(unknown, known)).reshape(size, size)
    accuracy = np.mean(np.sign(across @ weights) == truth)
    print(f"accuracy {accuracy:.3f} on {size} points it has not seen, by {len(pairs) + size**2} circuits")


if __name__ == "__main__":
    main()
