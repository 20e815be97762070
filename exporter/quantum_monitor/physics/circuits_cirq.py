"""Circuits of Cirq.

Its own gates are gates but the Fourier transform, parallel gates and products of Paulis; those, subcircuits, and gates
of one's own that can be decomposed are expanded.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from itertools import chain, repeat
from typing import Any

from quantum_monitor.physics.circuit_objects import Expansion, Outline, Wires, expanded, remember_class

CHANGES_SHOW = True
KNOWN_AGAIN_BY = "parts"  # moments, which circuits hand on as they are

_GATE, _NO_GATE, _OTHER = range(3)
_COMPOSITES = frozenset(["QuantumFourierTransformGate", "ParallelGate", "DensePauliString", "PauliString"])
_NO_GATE_MODULES = (".common_channels", ".kraus_channel", ".mixed_unitary_channel", ".wait_gate")

_verdicts: dict[type, int] = {}


def read(circuit: Any) -> Outline:
    """Return the outline of a ``cirq.Circuit`` or ``cirq.FrozenCircuit``."""
    gates: list[Wires] = []
    others: list[Wires] = []
    plain = True
    for moment in circuit.moments:
        for operation in moment.operations:
            kind = type(operation.gate)  # that of what is no gate on qubits is None, which is neither of the two
            verdict = _verdicts.get(kind)
            if verdict is None:
                verdict = _verdict(kind)
            if verdict == _GATE:
                gates.append(operation.qubits)
            elif verdict == _NO_GATE:
                others.append(operation.qubits)
            else:
                plain = False
                gates.extend(expanded([operation], _expand))
    if plain:
        return Outline(tuple(filter(None, gates)), tuple(others))
    return Outline(tuple(filter(None, gates)), qubits=len(circuit.all_qubits()), is_plain=False)


def parts(circuit: Any) -> tuple[Collection[Any], ...]:
    """Return the moments, each of which never changes."""
    return (circuit.moments,)


def counts(circuit: Any) -> dict[str, int]:
    """Return what is known without reading the operations: nothing, as Cirq reads all of them to find the qubits."""
    known = getattr(circuit, "_all_qubits", None)
    return {} if known is None else {"qubits": len(known)}


def size(circuit: Any) -> int:
    """Return the number of operations, of which a subcircuit is one."""
    return sum([len(moment.operations) for moment in circuit.moments])


def _verdict(kind: type) -> int:
    module, name = kind.__module__, kind.__name__
    if module.endswith(_NO_GATE_MODULES) or "Measure" in name:
        verdict = _NO_GATE
    else:
        verdict = _GATE if module.startswith("cirq") and name not in _COMPOSITES else _OTHER
    remember_class(_verdicts, kind, verdict)
    return verdict


def _expand(operation: Any) -> Expansion:
    if isinstance(operation, (list, tuple)) or not hasattr(operation, "qubits"):  # a tree of operations, as Cirq allows
        return list(operation)
    operation = operation.without_classical_controls().untagged
    if hasattr(operation, "mapped_circuit"):
        return _subcircuit(operation)
    kind = type(operation.gate if operation.gate is not None else operation)
    verdict = _verdicts.get(kind)
    if verdict is None:
        verdict = _verdict(kind)
    if verdict == _NO_GATE:
        return None
    if verdict == _OTHER:
        pieces = sys.modules["cirq"].decompose_once(operation, None)  # where there is a Cirq circuit, Cirq is loaded
        if pieces is not None:
            return list(pieces)
    return tuple(operation.qubits)


def _subcircuit(operation: Any) -> Expansion:
    if getattr(operation, "repeat_until", None) is not None:
        raise ValueError("circuit: how often a repeat_until runs is known only at run time; it cannot be counted")
    times = operation.repetitions
    if not hasattr(times, "__index__"):  # a symbol
        raise ValueError(f"circuit: a subcircuit repeated {times} times; resolve its parameters first")
    once = operation.replace(repetitions=1, repetition_ids=None, use_repetition_ids=False).mapped_circuit()
    return chain.from_iterable(moment.operations for circuit in repeat(once, abs(times)) for moment in circuit)
