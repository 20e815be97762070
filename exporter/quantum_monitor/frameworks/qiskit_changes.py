"""Qiskit: circuits whose instructions are replaced or taken out in place.

A circuit that is executed again has the facts that it had, unless it changed. Its instructions exist in Rust, where
nobody can see whether they are the same ones in less time than it takes to count them anew; what is appended shows in
their number, and what is built anew (by ``remove_final_measurements``, or a circuit of the library) in the object that
holds them. All other changes pass through these few methods. (Qiskit also takes an ``if`` out when its ``else`` begins;
what has control flow is never remembered.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit.instructionset import InstructionSet
from qiskit.circuit.quantumcircuitdata import QuantumCircuitData

from quantum_monitor import facts
from quantum_monitor.frameworks.patches import Patches


def install(patches: Patches) -> None:
    """Tell `quantum_monitor.facts` of changes for as long as the patches are there."""
    for name in ("__setitem__", "__delitem__", "sort"):
        patches.wrap(QuantumCircuitData, name, _through_data)
    patches.wrap(QuantumCircuit, "clear", _of_circuit)
    patches.wrap(InstructionSet, "inverse", _of_some_circuit)
    data = vars(QuantumCircuit)["data"]

    def assign(circuit: Any, instructions: Any) -> None:
        _of_circuit(data.fset, circuit, instructions)

    replacement = data.setter(assign)
    QuantumCircuit.data = replacement

    def undo() -> None:
        facts.changes_are_told(False)
        if vars(QuantumCircuit)["data"] is replacement:
            QuantumCircuit.data = data

    patches.also_undo(undo)
    facts.changes_are_told(True)


def _through_data(original: Callable[..., Any], view: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(view, *args, **kwargs)
    finally:
        facts.changed(view._circuit)


def _of_some_circuit(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return original(*args, **kwargs)
    finally:
        facts.some_changed()


def _of_circuit(original: Callable[..., Any], circuit: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(circuit, *args, **kwargs)
    finally:
        facts.changed(circuit)
