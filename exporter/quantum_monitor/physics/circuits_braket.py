"""Circuits of Braket: flat, nothing is expanded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from quantum_monitor.physics.circuit_objects import Outline, Wires, is_gate, remember_class

CHANGES_SHOW = True
KNOWN_AGAIN_BY = "reading"

_verdicts: dict[type, bool] = {}


def read(circuit: Any) -> Outline:
    """Return the outline of a ``braket.circuits.Circuit``."""
    gates: list[Wires] = []
    others: list[Wires] = []
    for instruction in _instructions(circuit):
        kind = type(instruction.operator)
        verdict = _verdicts.get(kind)
        if verdict is None:
            verdict = _is_gate(kind)
        target, control = instruction.target, instruction.control
        wires = tuple(target.item_list)  # walking a QubitSet takes four times as long
        if control.item_list:
            wires = (*control.item_list, *wires)
        if target.dead_indices or control.dead_indices:
            wires = (*control, *target)
        if not verdict:
            others.append(wires)
        elif wires:
            gates.append(wires)
    if observed := getattr(circuit, "_qubit_observable_set", None):
        others.append(tuple(observed))
    return Outline(tuple(gates), tuple(others))


def parts(circuit: Any) -> tuple[Collection[Any], ...]:
    """Return the instructions, which never change, and the qubits that results name."""
    return _instructions(circuit), tuple(getattr(circuit, "_qubit_observable_set", None) or ())


def counts(circuit: Any) -> dict[str, int]:
    """Return what is known without reading the instructions."""
    return {"qubits": circuit.qubit_count}


def size(circuit: Any) -> int:
    """Return the number of instructions."""
    return len(_instructions(circuit))


def _instructions(circuit: Any) -> Collection[Any]:
    """Return the instructions; a gate comes after those before it on its qubits.

    The circuit's own list sorts all of them by their keys, every time, which takes twenty times as long as reading
    the dict behind it. Sorting moves noise only.
    """
    kept = getattr(getattr(circuit, "moments", None), "_moments", None)
    instructions: Collection[Any] = dict.values(kept) if isinstance(kept, dict) else circuit.instructions
    return instructions


def _is_gate(kind: type) -> bool:
    verdict = "Gate" in {family.__name__ for family in kind.__mro__} and is_gate(kind.__name__)
    remember_class(_verdicts, kind, verdict)
    return verdict
