"""Entanglement entropy of random states, half cut: Qiskit, QuTiP and PennyLane beside ours, and the bare solver."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks._report import duration, measure, table, write
from quantum_monitor.physics import describe_state, entanglement_entropy

SIZES = range(4, 21)
_PENNYLANE_UP_TO = 12  # it needs the density matrix: 2^2n complex numbers, a gigabyte from 13 qubits on
_REPEATS_FROM = {4: 15, 12: 9, 17: 5}

Vector = np.ndarray[tuple[int], np.dtype[np.complex128]]


def main() -> None:
    """Measure and write ``results/entropy.md``."""
    rows: list[tuple[str, ...]] = [
        ("qubits", "state", "ours", "Qiskit", "QuTiP", "PennyLane", "bare eigenvalue solver", "ours / solver")
    ]
    for n_qubits in SIZES:
        for kind in ("complex", "real") if n_qubits in (4, 12, 20) else ("complex",):
            state = _random_state(n_qubits, real=kind == "real")
            functions = _contenders(state, n_qubits)
            expected = entanglement_entropy(state)
            for name, function in functions.items():
                if name != "solver" and abs(float(function()) - expected) > 1e-6:  # type: ignore[arg-type]
                    raise SystemExit(f"{name} disagrees at {n_qubits} qubits")
            repeats = next(count for start, count in reversed(_REPEATS_FROM.items()) if n_qubits >= start)
            times = measure(functions, repeats=repeats, pause=0.05)
            others = [_against(times, name) for name in ("Qiskit", "QuTiP", "PennyLane")]
            ratio = f"{times['ours'] / times['solver']:.2f}"
            rows.append((str(n_qubits), kind, duration(times["ours"]), *others, duration(times["solver"]), ratio))
    text = f"""Half cut, in bits; all agree to 1e-6. In brackets: how many times ours it is. Peers get objects of their
own, built beforehand. PennyLane takes a density matrix (also built beforehand) and ends at {_PENNYLANE_UP_TO} qubits.
The bare solver is SciPy's `eigvalsh` on a ready-made matrix of the smaller side's size; ours may take 1.4 times as
long at 20 qubits.

{table(rows)}

All measures of a 4-qubit vector (`describe_state`, reading included): {duration(_describe_four())}."""
    write("entropy", "Entanglement entropy", text, packages=["qiskit", "qutip", "pennylane"])


def _contenders(state: Vector, n_qubits: int) -> dict[str, Callable[[], object]]:
    import pennylane as qml
    import qutip
    from qiskit.quantum_info import Statevector, entropy, partial_trace
    from scipy.linalg import eigvalsh

    half = list(range(n_qubits // 2))
    rest = list(range(n_qubits // 2, n_qubits))
    vector = Statevector(state)
    ket = qutip.Qobj(state, dims=[[2] * n_qubits, [1]])
    matrix = state.reshape(2 ** len(half), -1)
    gram = np.asfortranarray(matrix @ matrix.conj().T)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: entanglement_entropy(state),
        # Qiskit's qubit 0 is the least significant: tracing out the first half leaves the most significant one.
        "Qiskit": lambda: entropy(partial_trace(vector, list(range(n_qubits - len(half)))), base=2),
        "QuTiP": lambda: qutip.entropy_vn(ket.ptrace(half), base=2),
        "solver": lambda: eigvalsh(gram, check_finite=False),
    }
    if n_qubits <= _PENNYLANE_UP_TO:
        density = np.outer(state, state.conj())
        functions["PennyLane"] = lambda: qml.math.vn_entanglement_entropy(density, half, rest, base=2)
    return functions


def _against(times: dict[str, float], name: str) -> str:
    return f"{duration(times[name])} ({times[name] / times['ours']:.1f})" if name in times else "-"


def _random_state(n_qubits: int, *, real: bool) -> Vector:
    random = np.random.default_rng(n_qubits)
    values = random.normal(size=2**n_qubits) + (0 if real else 1j * random.normal(size=2**n_qubits))
    return np.asarray(values / np.linalg.norm(values))


def _describe_four() -> float:
    state = _random_state(4, real=False)
    return measure({"describe": lambda: describe_state(state)})["describe"]


if __name__ == "__main__":
    main()
