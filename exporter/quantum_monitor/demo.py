"""The demo: a variational quantum eigensolver traces the dissociation curve of H2, watched by the monitor."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_monitor.monitor import QuantumMonitor
from quantum_monitor.store.reader import StoredRun

BOND_LENGTHS = (0.4, 0.55, 0.7414, 0.9, 1.1, 1.3, 1.5, 1.8, 2.1, 2.5)
"""Distances of the two nuclei in angstrom; 0.7414 is the equilibrium."""
CHEMICAL_ACCURACY = 1.6
"""Error in millihartree below which an energy predicts chemistry."""

_LAYERS = 3
_LEARNING_RATE = 0.1
_START_SPREAD = 0.3
_STATE_EVERY = 5
_SHORTEST_SECONDS = 20.0  # two scrapes at the common interval of 15 s have a good chance to meet the demo
_DOLLARS_A_SECOND = 0.075 / 60  # what a hosted simulator of this size costs a minute, so that cost has something to show
_BACKEND = "default.qubit"
_MILLI = 1_000.0


@dataclass(frozen=True)
class Problem:
    """H2 at one bond length, as a circuit with an energy.

    Attributes:
        energy: parameters to energy in hartree, differentiable.
        state: parameters to the prepared state, shape (16,).
        exact_energy: lowest eigenvalue of the Hamiltonian in hartree.
        exact_state: its eigenvector, shape (16,).
        gates: the circuit as a description for ``log_circuit_execution``.
        shape: of the parameters.
    """

    energy: Callable[[Any], Any]
    state: Callable[[Any], Any]
    exact_energy: float
    exact_state: NDArray[np.complex128]
    gates: dict[str, Any]
    shape: tuple[int, int]


def hydrogen(bond_length: float) -> Problem:
    """H2 in the STO-3G basis on four qubits, from PennyLane's own Hartree-Fock solver.

    The ansatz is the Hartree-Fock state followed by layers of all particle-conserving single and double excitations.

    Args:
        bond_length: distance of the nuclei in angstrom.
    """
    import pennylane as qml  # noqa: PLC0415 - an extra

    geometry = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, bond_length]])
    hamiltonian, n_qubits = qml.qchem.molecular_hamiltonian(qml.qchem.Molecule(["H", "H"], geometry, unit="angstrom"))
    wires = range(n_qubits)
    levels, states = np.linalg.eigh(qml.matrix(hamiltonian, wire_order=wires))
    singles, doubles = qml.qchem.excitations(2, n_qubits)
    occupied = qml.qchem.hf_state(2, n_qubits)

    def ansatz(parameters: Any) -> None:
        qml.BasisState(occupied, wires=wires)
        for layer in parameters:
            for angle, excited in zip(layer, singles + doubles, strict=True):
                gate = qml.SingleExcitation if len(excited) == 2 else qml.DoubleExcitation  # noqa: PLR2004
                gate(angle, wires=excited)

    device = qml.device(_BACKEND, wires=n_qubits)

    @qml.qnode(device)
    def energy(parameters: Any) -> Any:
        ansatz(parameters)
        return qml.expval(hamiltonian)

    @qml.qnode(device)
    def state(parameters: Any) -> Any:
        ansatz(parameters)
        return qml.state()

    layer = [{"type": "SingleExcitation", "qubits": list(pair)} for pair in singles]
    layer += [{"type": "DoubleExcitation", "qubits": list(four)} for four in doubles]
    flips = [{"type": "x", "qubit": qubit} for qubit, filled in enumerate(occupied) if filled]
    return Problem(
        energy=energy,
        state=state,
        exact_energy=float(levels[0]),
        exact_state=states[:, 0],
        gates={"n_qubits": n_qubits, "gates": flips + layer * _LAYERS},
        shape=(_LAYERS, len(singles) + len(doubles)),
    )


def train(
    problem: Problem,
    steps: int,
    *,
    monitor: QuantumMonitor | None = None,
    seed: int = 0,
    progress: Callable[[float, float], None] = lambda energy, fidelity: None,
) -> float:
    """Find the ground state by gradient descent; the last energy in hartree.

    Args:
        problem: what to solve.
        steps: steps of gradient descent.
        monitor: told of every step, if there is one.
        seed: of the first parameters.
        progress: called after each step with energy and latest fidelity.
    """
    import pennylane as qml  # noqa: PLC0415 - an extra

    start = np.random.default_rng(seed).normal(0.0, _START_SPREAD, problem.shape)
    parameters = qml.numpy.array(start, requires_grad=True)
    optimizer = qml.GradientDescentOptimizer(_LEARNING_RATE)
    energy, fidelity = math.nan, math.nan
    for step in range(steps):
        began = time.perf_counter()
        (gradient,), value = optimizer.compute_grad(problem.energy, (parameters,), {})
        took = time.perf_counter() - began
        energy = float(value)
        with_state = step % _STATE_EVERY == 0 or step == steps - 1
        state = problem.state(parameters) if with_state else None
        if monitor is not None:
            monitor.log_training_step(energy, gradient, parameters, step)
            monitor.log_circuit_execution(
                problem.gates, execution_time=took, cost=took * _DOLLARS_A_SECOND, backend_info=_BACKEND
            )
            if state is not None:
                monitor.log_quantum_state(state, step, reference_state=problem.exact_state)
        if state is not None:
            fidelity = float(abs(np.vdot(problem.exact_state, state)) ** 2)
        progress(energy, fidelity)
        parameters = optimizer.apply_grad((gradient,), (parameters,))[0]
    return energy


def main(options: argparse.Namespace) -> int:
    """Run the demo; the exit status.

    Args:
        options: ``steps`` a bond length, ``port`` (0 for any free one), ``storage`` (folder of the runs), ``serve``
            (keep serving when done).
    """
    try:
        import pennylane  # noqa: F401, PLC0415 - only to see that it is there
        from tqdm import tqdm  # noqa: PLC0415 - an extra
    except ImportError as error:
        print(f"The demo needs {error.name}: pip install 'quantum-monitor[demo]'")
        return 1

    began = time.monotonic()
    with_options = {} if options.storage is None else {"storage_path": options.storage}
    monitor = QuantumMonitor("h2-dissociation", metrics_port=options.port, **with_options)
    monitor.start_realtime_monitoring(1.0)
    print("H2 in STO-3G: the ground state at ten bond lengths, by gradient descent on a four-qubit circuit.")
    print(f"Metrics: {monitor.metrics_url}\nFiles:   {monitor.storage_path.resolve()}\n", flush=True)

    finished: list[Path] = []
    with tqdm(total=len(BOND_LENGTHS) * options.steps, unit="step", dynamic_ncols=True, mininterval=0.2) as bar:

        def show(energy: float, fidelity: float) -> None:
            bar.set_postfix_str(f"E = {energy:.5f} Ha, fidelity = {fidelity:.4f}", refresh=False)
            bar.update()

        for seed, length in enumerate(BOND_LENGTHS):
            problem = hydrogen(length)
            bar.set_description(f"{length:.4g} angstrom")
            with monitor.start_run(f"{length:.4g} angstrom"):
                monitor.log_params({
                    "molecule": "H2",
                    "basis": "STO-3G",
                    "bond_length_angstrom": length,
                    "exact_energy_hartree": problem.exact_energy,
                    "learning_rate": _LEARNING_RATE,
                    "seed": seed,
                })  # fmt: skip
                monitor.log_backend_status(_BACKEND, up=True, pending_jobs=0, qubits=4)
                train(problem, options.steps, monitor=monitor, seed=seed, progress=show)
            if monitor.run_path is not None:
                finished.append(monitor.run_path)

    report(finished)
    print(f"\nMetrics: {monitor.metrics_url}\nFiles:   {monitor.storage_path.resolve()}", flush=True)
    wait(began, forever=options.serve)
    monitor.close()
    return 0


def report(runs: list[Path]) -> None:
    """Print what the runs' own records say."""
    print("\n  bond (A)   energy (Ha)    exact (Ha)   error (mHa)   fidelity   steps   cost (USD)")
    worst = 0.0
    for path in runs:
        run = StoredRun(path)
        params = run.info["params"]
        energies = run.series("loss").value
        energy, exact = float(energies[-1]), float(params["exact_energy_hartree"])
        error = (energy - exact) * _MILLI
        worst = max(worst, abs(error))
        print(
            f"  {params['bond_length_angstrom']:8.4f}  {energy:12.6f}  {exact:12.6f}  {error:12.4f}"
            f"  {run.series('fidelity').value[-1]:9.6f}  {len(energies):6d}  {run.series('cost').value.sum():11.6f}"
        )
    print(f"\nLargest error {worst:.4f} mHa; chemical accuracy is {CHEMICAL_ACCURACY} mHa.")


def wait(began: float, *, forever: bool) -> None:
    """Keep serving: until Ctrl-C, or until the demo has lasted long enough to be scraped."""
    rest = math.inf if forever else began + _SHORTEST_SECONDS - time.monotonic()
    if rest <= 0:
        return
    print("Serving until Ctrl-C." if forever else f"Serving for {rest:.0f} s more, so that a scrape can see the end.")
    try:
        while rest > 0:
            time.sleep(min(rest, 1.0))
            rest -= 1.0
    except KeyboardInterrupt:
        print()
