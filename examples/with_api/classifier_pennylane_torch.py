"""A circuit of two qubits learns to tell the inside of a circle from the outside; a PyTorch loop that is logged."""

import argparse
import time

import numpy as np
import pennylane as qml
import torch

from quantum_monitor import QuantumMonitor
from quantum_monitor.physics import circuit_facts

LAYERS, RATE, SEED = 3, 0.1, 3
RADIUS = np.sqrt(2 / np.pi)  # half of the square [-1, 1] x [-1, 1] is inside
DEVICE = qml.device("default.qubit", wires=2)


@qml.qnode(DEVICE, interface="torch")
def circuit(points, weights):
    """Upload the points anew in every layer; a whole batch of them is one execution."""
    for layer in weights:
        for qubit, (slope_x, shift_x, slope_y, shift_y) in enumerate(layer):
            qml.RY(slope_x * points[:, 0] + shift_x, wires=qubit)
            qml.RZ(slope_y * points[:, 1] + shift_y, wires=qubit)
        qml.CNOT(wires=[0, 1])
    return qml.expval(qml.Z(0))


def dataset(size, rng):
    """Points of the square, and -1 inside of the circle, 1 outside."""
    points = rng.uniform(-1, 1, (size, 2))
    labels = np.where(np.hypot(*points.T) < RADIUS, -1.0, 1.0)
    return torch.tensor(points), torch.tensor(labels)


def accuracy(predicted, labels):
    """Share of points on the right side."""
    return float((torch.sign(predicted) == labels).double().mean())


def main():
    """Train in a run, with the accuracy on points that are not trained on every ten steps."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=60)
    steps = options.parse_args().steps

    torch.set_num_threads(1)  # for tensors this small, more cost more than they bring
    rng = np.random.default_rng(SEED)
    points, labels = dataset(100, rng)
    unseen, truth = dataset(200, rng)
    weights = torch.tensor(rng.normal(0, 1, (LAYERS, 2, 4)), requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=RATE)
    facts = circuit_facts(qml.workflow.construct_tape(circuit)(points, weights))

    monitor = QuantumMonitor("circle")
    with monitor.start_run(f"{LAYERS} layers"):
        monitor.log_params({"layers": LAYERS, "rate": RATE, "seed": SEED, "points": len(points)})
        for step in range(steps):
            optimizer.zero_grad()
            began = time.perf_counter()
            predicted = circuit(points, weights)
            monitor.log_circuit_execution(facts, time.perf_counter() - began, backend_info=DEVICE)
            loss = torch.mean((predicted - labels) ** 2)
            loss.backward()
            monitor.log_training_step(loss, weights.grad, weights, step, {"accuracy": accuracy(predicted, labels)})
            optimizer.step()
            if step % 10 == 9:
                with torch.no_grad():
                    monitor.log_metrics({"unseen_accuracy": accuracy(circuit(unseen, weights), truth)}, step)
        monitor.log_model("weights", {"weights": weights})

    summary = monitor.get_metrics_summary()
    print(f"loss {summary['loss']['latest']:.4f}, accuracy {summary['accuracy']['latest']:.3f} while training")
    print(f"accuracy {summary['unseen_accuracy']['latest']:.3f} on points it has not seen")
    print(f"the run is kept in {monitor.run_path}")


if __name__ == "__main__":
    main()
