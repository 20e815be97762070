"""A circuit of two qubits learns to tell the inside of a circle from the outside, trained by PyTorch."""

import argparse

import numpy as np
import pennylane as qml
import torch

LAYERS = 3
RADIUS = np.sqrt(2 / np.pi)  # half of the square [-1, 1] x [-1, 1] is inside


@qml.qnode(qml.device("default.qubit", wires=2), interface="torch")
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


def main():
    """Train on one set of points, and judge by another."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=60)
    steps = options.parse_args().steps

    torch.set_num_threads(1)  # for tensors this small, more cost more than they bring
    rng = np.random.default_rng(3)
    points, labels = dataset(100, rng)
    unseen, truth = dataset(200, rng)
    weights = torch.tensor(rng.normal(0, 1, (LAYERS, 2, 4)), requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        loss = torch.mean((circuit(points, weights) - labels) ** 2)
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step:3d}: loss {loss.item():.4f}")
    with torch.no_grad():
        right = torch.sign(circuit(unseen, weights)) == truth
    print(f"accuracy {right.double().mean():.3f} on points it has not seen")


if __name__ == "__main__":
    main()
