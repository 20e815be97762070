"""A Bell test that finds its own angles: CHSH is trained on samples until it breaks the classical bound of 2."""

import argparse
import itertools

import cirq
import numpy as np
import sympy

REPETITIONS = 500  # of each of the 36 circuits of a step
SIGNS = {(0, 0): 1, (0, 1): 1, (1, 0): 1, (1, 1): -1}  # of the four correlations of Alice's and Bob's settings


def bell_test():
    """A Bell pair, each half measured along an angle of its own."""
    alice, bob = cirq.LineQubit.range(2)
    return cirq.Circuit(
        cirq.H(alice),
        cirq.CNOT(alice, bob),
        cirq.ry(sympy.Symbol("alice"))(alice),
        cirq.ry(sympy.Symbol("bob"))(bob),
        cirq.measure(alice, bob, key="m"),
    )


def chsh(sampler, circuit, settings, repetitions=REPETITIONS):
    """S for each row of angles (two of Alice's, two of Bob's): four sampled correlations a row, in one sweep."""
    points = [{"alice": row[a], "bob": row[2 + b]} for row in settings for a, b in SIGNS]
    results = sampler.run_sweep(circuit, points, repetitions=repetitions)
    correlations = [np.mean((-1.0) ** result.measurements["m"].sum(axis=1)) for result in results]
    return np.reshape(correlations, (-1, 4)) @ list(SIGNS.values())


def main():
    """Climb along gradients by the parameter-shift rule."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=15)
    steps = options.parse_args().steps

    sampler, circuit = cirq.Simulator(seed=5), bell_test()
    angles = np.array([0.0, 0.3, 0.1, -0.2])
    shifts = np.array([sign * np.pi / 2 * unit for unit, sign in itertools.product(np.eye(4), (1, -1))])
    for step in range(steps):
        value, *shifted = chsh(sampler, circuit, [angles, *(angles + shifts)])
        gradient = np.subtract(shifted[::2], shifted[1::2]) / 2
        angles = angles + 0.3 * gradient
        print(f"step {step:2d}: S = {value:.3f}")
    (value,) = chsh(sampler, circuit, [angles], repetitions=20_000)
    print(f"S = {value:.3f} of at most {2 * np.sqrt(2):.3f}; without entanglement it is at most 2")


if __name__ == "__main__":
    main()
