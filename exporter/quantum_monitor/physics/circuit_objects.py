"""Circuit objects of Qiskit, PennyLane, Cirq and Braket, read by their attributes.

A reader turns a circuit into its `Outline`: which qubits each gate acts on, in order. What a framework builds from
smaller gates (templates, subcircuits, loops) is expanded until its elementary gates; how far is said at each reader,
and is chosen so that the same circuit has the same depth in each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

Wires: TypeAlias = "tuple[Hashable, ...]"
Expansion: TypeAlias = "tuple[Any, ...] | Iterable[Any] | None"
"""What one operation is: a gate on these qubits (a tuple), other operations (any other iterable), or no gate."""

EXPANSION_LIMIT = 1_000_000
NESTING_LIMIT = 64

_NO_GATES = frozenset(
    ["barrier", "delay", "wait", "reset", "snapshot", "wirecut", "gphase", "global_phase", "globalphase", "nop"]
)
_NO_GATE_PREFIXES = ("measure", "save_")
_CLASSES_REMEMBERED = 256

_READERS = {  # module here: what a circuit that it reads has
    "circuits_cirq": ("all_operations", "all_qubits"),
    "circuits_pennylane": ("operations", "measurements"),
    "circuits_qiskit": ("data", "num_qubits", "qubits"),
    "circuits_braket": ("instructions", "qubit_count"),
    "circuits_jaqcd": ("instructions", "basis_rotation_instructions"),
}


class Outline(NamedTuple):
    """All of a circuit that its facts depend on: two circuits with the same outline have the same facts.

    Attributes:
        gates: the qubits of each gate, in order.
        others: qubits named by what is no gate.
        qubits: how many there are; None: as many as `gates` and `others` name.
        is_plain: whether nothing was expanded: then operations that are the same objects have the same outline.
    """

    gates: tuple[Wires, ...]
    others: tuple[Wires, ...] = ()
    qubits: int | None = None
    is_plain: bool = True


def is_gate(name: str) -> bool:
    """Tell whether an operation of this name is a gate: not a measurement, barrier, reset, delay or global phase."""
    lowered = name.lower()
    return lowered not in _NO_GATES and not lowered.startswith(_NO_GATE_PREFIXES)


def reader_of(circuit: Any) -> Any:
    """Return the module that reads this circuit object, of which each has these functions of a circuit.

    ``read``: its `Outline`. ``size``: how many operations it lists. ``counts``: facts that are known without reading
    every operation. ``parts``: collections of objects; for as long as they are the same the circuit has the same facts,
    provided its outline is plain and, where ``CHANGES_SHOW`` is false, nobody replaces an instruction in place.
    ``KNOWN_AGAIN_BY``: how a small circuit is known again: by its parts, by its length, or by reading it.

    Raises:
        ValueError: no known circuit object.
    """
    kind = type(circuit)
    if (known := known_reader(kind)) is not None:
        return known
    module = next((name for name, parts in _READERS.items() if all(hasattr(circuit, part) for part in parts)), None)
    if module is None and isinstance(circuit, (list, tuple)):
        module = "circuits_pennylane"
    if module is None:
        raise ValueError(
            f"circuit: {kind.__name__} is not understood; pass a description dict, a list of gates, OpenQASM, "
            "or a circuit of Qiskit, PennyLane (a tape: qml.workflow.construct_tape(qnode)(...)), Cirq or Braket"
        )
    reader = import_module(f"quantum_monitor.physics.{module}")
    if all(hasattr(kind, part) for part in _READERS[module]):  # else its next object may have other attributes
        remember_class(_known_readers, kind, reader)
    return reader


_known_readers: dict[type, Any] = {}
known_reader: Callable[[type], Any] = _known_readers.get
"""The reader of all circuits of a class, None before the first of them."""


def read_object(circuit: Any) -> Outline:
    """Return the outline of a circuit object.

    Raises:
        ValueError: no known circuit object; one whose length is known only when it runs, or that has no end.
    """
    outline: Outline = reader_of(circuit).read(circuit)
    return outline


def expanded(operations: Iterable[Any], expand: Callable[[Any], Expansion]) -> Iterator[Wires]:
    """Walk operations depth first with a stack of our own, so that no nesting can exhaust Python's."""
    stack = [iter(operations)]
    steps = 0
    while stack:
        for operation in stack[-1]:
            steps += 1
            if steps > EXPANSION_LIMIT:
                raise ValueError(f"circuit: expands to more than {EXPANSION_LIMIT} operations")
            inner = expand(operation)
            if isinstance(inner, tuple):
                if inner:
                    yield inner
            elif inner is not None:
                if len(stack) >= NESTING_LIMIT:
                    raise ValueError(f"circuit: operations nested more than {NESTING_LIMIT} deep")
                stack.append(iter(inner))
                break
        else:
            stack.pop()


def remember_class(verdicts: dict[type, Any], kind: type, verdict: Any) -> None:
    """Remember what a class is. Classes made anew in every step must not gather here."""
    if len(verdicts) >= _CLASSES_REMEMBERED:
        verdicts.clear()
    verdicts[kind] = verdict
