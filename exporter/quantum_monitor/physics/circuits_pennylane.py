"""Tapes and lists of operations of PennyLane.

The operators of pennylane.ops are gates, also adjoint, to a power or controlled; templates, products, state
preparations and operations of one's own that have a decomposition are expanded.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Hashable, Sequence
from contextlib import nullcontext
from typing import Any

from quantum_monitor.physics.circuit_objects import Expansion, Outline, Wires, expanded, is_gate, remember_class

CHANGES_SHOW = True
KNOWN_AGAIN_BY = "reading"

_LEAF_MODULES = "pennylane.ops."
_CONTROLLED_MODULE = "pennylane.ops.op_math.controlled_ops"
_NO_GATES = frozenset(["Channel", "MidMeasure", "MeasurementProcess"])
_EXPANDED = frozenset(["StatePrepBase", "Prod", "Conditional"])
_PAULIS = frozenset(["PauliX", "PauliY", "PauliZ"])

# Those whose decomposition follows from their wires, the shapes of their parameters and their hyperparameters alone.
_TEMPLATES = frozenset(
    ["BasicEntanglerLayers", "GroverOperator", "QFT", "SimplifiedTwoDesign", "StronglyEntanglingLayers"]
)
_TEMPLATES_REMEMBERED = 64

_GATE, _CONTROLLED, _NO_GATE, _OTHER = range(4)
_verdicts: dict[type, int] = {}
_names: dict[type, frozenset[str]] = {}  # of a class and all that it inherits from
_templates: dict[Hashable, tuple[Wires, ...]] = {}


def read(circuit: Any) -> Outline:
    """Return the outline of a tape, whose measurements name qubits too, or of a list of operations."""
    gates: list[Wires] = []
    others: list[Wires] = []
    plain = True
    for operation in _operations(circuit):
        verdict = _verdicts.get(type(operation))
        if verdict is None:
            verdict = _learn(operation)
        if verdict == _GATE:
            gates.append(operation._wires._labels)
        elif verdict == _CONTROLLED:
            gates.append(_controlled(operation))
        elif verdict == _NO_GATE:
            others.append(operation.wires.labels)
        else:
            plain = False
            gates.extend(_wires(operation))
    found = tuple(filter(None, gates))
    if isinstance(circuit, (list, tuple)):
        return Outline(found, is_plain=plain)
    if plain:
        return Outline(found, (*others, *[measurement.wires.labels for measurement in circuit.measurements]))
    return Outline(found, qubits=len(circuit.wires), is_plain=False)


def parts(circuit: Any) -> tuple[Collection[Any], ...]:
    """Return operations and measurements, which do not change once they are made."""
    return _operations(circuit), getattr(circuit, "measurements", ())


def counts(circuit: Any) -> dict[str, int]:
    """Return what is known without reading the operations: the qubits, where something asked the tape before."""
    wires = getattr(circuit, "__dict__", {}).get("wires")
    return {} if wires is None else {"qubits": len(wires)}


def size(circuit: Any) -> int:
    """Return the number of operations, of which a template is one."""
    return len(_operations(circuit))


def _operations(circuit: Any) -> Sequence[Any]:
    operations: Sequence[Any] = circuit if isinstance(circuit, (list, tuple)) else circuit.operations
    return operations


def _learn(operation: Any) -> int:
    """Tell what every operation of this class is.

    How its wires are read without the two properties and the merging of sets that the public way takes is tried on
    this one first: ``_wires`` of a controlled operation, for one, are those of its target.
    """
    kind, families = type(operation), _families(type(operation))
    leaf = kind.__module__.startswith(_LEAF_MODULES)
    verdict = _OTHER
    if families & _NO_GATES or (leaf and not is_gate(kind.__name__)):
        verdict = _NO_GATE
    elif leaf and not families & _EXPANDED and "SymbolicOp" not in families:
        verdict = _GATE if _is(lambda: operation._wires._labels, operation) else _OTHER
    elif kind.__module__ == _CONTROLLED_MODULE:  # CNOT and its like, each of one base
        verdict = _CONTROLLED if _is(lambda: _controlled(operation), operation) else _OTHER
    remember_class(_verdicts, kind, verdict)
    return verdict


def _controlled(operation: Any) -> Wires:
    parameters = operation._hyperparameters
    wires: Wires = parameters["control_wires"]._labels + parameters["base"]._wires._labels
    return wires


def _is(wires: Any, operation: Any) -> bool:
    try:
        return bool(wires() == tuple(operation.wires))
    except (AttributeError, KeyError, TypeError):
        return False


def _wires(operation: Any) -> tuple[Wires, ...]:
    """The qubits of each gate of an operation that is perhaps built of others."""
    key = _template(operation)
    known = _templates.get(key)
    if known is None:
        known = tuple(expanded([operation], _expand))
        if key is not None:
            if len(_templates) >= _TEMPLATES_REMEMBERED:
                _templates.clear()
            _templates[key] = known
    return known


def _template(operation: Any) -> Hashable:
    """All that the decomposition of a template depends on; None for any other operation."""
    kind = type(operation)
    if kind.__name__ not in _TEMPLATES or not kind.__module__.startswith("pennylane.templates."):
        return None
    options = operation.hyperparameters
    if not all(_is_constant(option) for option in options.values()):
        return None
    shapes = tuple([tuple(getattr(values, "shape", ())) for values in operation.data])
    return kind, operation.wires.labels, shapes, tuple(options.items())


def _is_constant(option: Any) -> bool:
    if isinstance(option, tuple):
        return all(type(part) is int for part in option)
    if isinstance(option, type):
        return option.__module__.startswith(_LEAF_MODULES)
    return option is None or type(option) in {int, bool, str}


def _expand(operation: Any) -> Expansion:
    families = _families(type(operation))
    name = getattr(operation, "name", type(operation).__name__)
    if families & _NO_GATES or not is_gate(name):
        return None
    if "Conditional" in families:
        return [operation.base]
    if "Prod" in families:
        return list(reversed(operation.operands))  # a product of operators applies its last factor first
    if _is_leaf(operation, families) or _is_rotation(operation, families):
        return tuple(operation.wires)
    if not getattr(operation, "has_decomposition", False):
        return tuple(operation.wires)
    pennylane = sys.modules.get("pennylane")
    with nullcontext() if pennylane is None else pennylane.QueuingManager.stop_recording():
        return list(operation.decomposition())


def _is_leaf(operation: Any, families: frozenset[str]) -> bool:
    while "SymbolicOp" in families and (base := getattr(operation, "base", None)) is not None:
        operation = base
        families = _families(type(operation))
    return type(operation).__module__.startswith(_LEAF_MODULES) and not families & {"StatePrepBase", "Prod"}


def _is_rotation(operation: Any, families: frozenset[str]) -> bool:
    """Tell whether this is the exponential of a product of Paulis on as many wires: one rotation on all of them.

    PennyLane comes to the same by comparing it with every gate that has a generator, which takes milliseconds a term.
    """
    if "Exp" not in families or not type(operation).__module__.startswith(_LEAF_MODULES):
        return False
    base = operation.base
    while type(base).__name__ == "SProd":
        base = base.base
    if type(base).__name__ != "Prod":
        return False
    factors = base.operands
    return all(type(factor).__name__ in _PAULIS for factor in factors) and len(base.wires) == len(factors)


def _families(kind: type) -> frozenset[str]:
    known = _names.get(kind)
    if known is None:
        known = frozenset(family.__name__ for family in kind.__mro__)
        remember_class(_names, kind, known)
    return known
