"""How much a circuit holds in matrices and state vectors, which its framework's exporter makes gates of.

That takes up to half a millisecond an element in the thread that trains, so it is asked before anything is exported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

LIMIT = 512
"""Elements up to which they are expanded: a unitary on 4 qubits, a state of 9."""

_VISITED = 20_000
_MORE_THAN_ANGLES = 16


class Bulk(NamedTuple):
    """Elements of matrices, which count as one gate, and of what already counting the gates expands."""

    matrices: int = 0
    vectors: int = 0

    def __add__(self, other: object) -> Bulk:
        """Both together."""
        matrices, vectors = other if isinstance(other, Bulk) else Bulk()
        return Bulk(self.matrices + matrices, self.vectors + vectors)

    def too_much(self) -> str:
        """Why the circuit is not exported; empty if it may be."""
        return _reason(self.matrices + self.vectors)

    def too_much_to_count(self) -> str:
        """Why its gates are not counted, either; empty if they may be."""
        return _reason(self.vectors)


def bulk(framework: str, circuit: Any) -> Bulk:
    """Add up what the operations of a framework's circuit hold, of the first `_VISITED` ones."""
    total = Bulk()
    look = _LOOKS.get(framework)
    try:
        for part in islice(look(circuit), _VISITED) if look is not None else ():
            total += part
    except Exception:  # noqa: BLE001 - a foreign object is read here
        return total
    return total


def _reason(elements: int) -> str:
    if elements <= LIMIT:
        return ""
    return f"matrices and state vectors of {elements} elements, more than {LIMIT}: making gates of them takes too long"


def _qiskit(circuit: Any) -> Iterator[Bulk]:
    for item in circuit.data:
        standard = getattr(item, "is_standard_gate", None)
        if standard is not None and standard():
            yield Bulk()
            continue
        operation = item.operation
        for block in getattr(operation, "blocks", ()):
            yield from _qiskit(block)
        definition = getattr(operation, "_definition", None)  # asking for `definition` would make it
        if definition is not None:
            yield from _qiskit(definition)
        base = operation
        while getattr(base, "base_gate", None) is not None:
            base = base.base_gate
        arrays = sum(_size(value) for value in operation.params if getattr(value, "shape", ()))
        numbers = sum(definition is None or isinstance(value, complex) for value in operation.params)
        elements = arrays + (numbers if numbers > _MORE_THAN_ANGLES else 0)
        yield Bulk(matrices=elements) if base.name in {"unitary", "hamiltonian"} else Bulk(vectors=elements)


def _pennylane(tape: Any) -> Iterator[Bulk]:
    for operation in tape.operations:
        n_wires = len(operation.wires)
        for value in operation.parameters:
            shape = tuple(getattr(value, "shape", ()))
            length = shape[-1] if shape else 1
            n_qubits = length.bit_length() - 1
            if length < 2 or length != 1 << n_qubits:
                continue
            if len(shape) > 1 and shape[-2] == length:  # once more for each control
                yield Bulk(matrices=_size(value) * (1 + max(0, n_wires - n_qubits)))
            elif n_wires > 1 and n_qubits in {n_wires, n_wires - 1}:
                yield Bulk(vectors=_size(value))
        yield Bulk()


def _cirq(circuit: Any) -> Iterator[Bulk]:
    for operation in circuit.all_operations():
        kind = operation.without_classical_controls().untagged.gate
        while getattr(kind, "sub_gate", None) is not None:
            kind = kind.sub_gate
        yield Bulk(matrices=_size(getattr(kind, "_matrix", None)))


def _size(value: Any) -> int:
    shape = getattr(value, "shape", ())
    return math.prod(shape) if shape else 0


_LOOKS: Mapping[str, Callable[[Any], Iterator[Bulk]]] = {  # Braket writes a matrix as it is
    "qiskit": _qiskit,
    "pennylane": _pennylane,
    "cirq": _cirq,
}
