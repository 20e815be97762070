"""Programs of Braket's JAQCD, which simulators and some devices still take."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from quantum_monitor.physics.circuit_objects import Outline, Wires, is_gate

CHANGES_SHOW = False  # its instructions can be changed
KNOWN_AGAIN_BY = "reading"

_NO_GATES = frozenset(
    [
        "amplitude_damping",
        "bit_flip",
        "depolarizing",
        "generalized_amplitude_damping",
        "kraus",
        "multi_qubit_pauli_channel",
        "pauli_channel",
        "phase_damping",
        "phase_flip",
        "two_qubit_dephasing",
        "two_qubit_depolarizing",
        "start_verbatim_box",
        "end_verbatim_box",
    ]
)


def read(circuit: Any) -> Outline:
    """Return the outline of a ``braket.ir.jaqcd.Program``."""
    gates: list[Wires] = []
    others: list[Wires] = []
    for instruction in circuit.instructions:
        name = str(getattr(instruction.type, "value", instruction.type))
        wires = tuple(
            [qubit for place in ("controls", "control", "targets", "target") for qubit in _named(instruction, place)]
        )
        (gates if wires and is_gate(name) and name not in _NO_GATES else others).append(wires)
    return Outline(tuple(gates), tuple(others), is_plain=False)


def parts(_: Any) -> tuple[Collection[Any], ...]:
    """Return nothing: only reading it tells a changed program."""
    return ()


def counts(_: Any) -> dict[str, int]:
    """Return what is known without reading the instructions."""
    return {}


def size(circuit: Any) -> int:
    """Return the number of instructions."""
    return len(circuit.instructions)


def _named(instruction: Any, place: str) -> Wires:
    value = getattr(instruction, place, None)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
