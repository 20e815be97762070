"""Which backends are simulators on this machine: they cost nothing, and nothing is said of that."""

from __future__ import annotations

from fnmatch import fnmatchcase

_LOCAL = (
    # what a monitor calls a backend that it was not told the name of
    "", "unknown", "other", "none", "local", "local*", "localhost*",
    # PennyLane
    "default.*", "lightning.*", "null.qubit", "reference.*", "braket.local.*", "qiskit.aer", "qiskit.basicsim",
    "cirq.simulator", "cirq.mixedsimulator", "qulacs.*", "qrack.*", "forest.numpy_wavefunction",
    # Qiskit, Aer and the fake backends
    "aer", "aer_*", "aer.*", "basic_simulator", "basicaer*", "fake_*", "generic_backend*", "qasm_simulator",
    "statevector*", "unitary_simulator", "density_matrix*", "superop*", "pulse_simulator", "stabilizer*",
    "extended_stabilizer*", "matrix_product_state*", "tensor_network*",
    # Cirq
    "cirq.*", "simulator", "*simulator", "qsim*", "zerossampler", "engine_simulator*",
    # Braket
    "braket_sv*", "braket_dm*", "braket_ahs*", "localsimulator", "*simulator(*)",
)  # fmt: skip


def is_local(backend: str) -> bool:
    """Whether a backend of this name is a simulator on this machine, as far as names tell.

    Args:
        backend: its name, in lower case.
    """
    return not backend.startswith("arn:") and any(fnmatchcase(backend, pattern) for pattern in _LOCAL)
