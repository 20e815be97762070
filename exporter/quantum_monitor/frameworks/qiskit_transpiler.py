"""Qiskit's transpiler: how long it took, and what it made of the circuits.

What counts is a pass manager in stages, as ``transpile`` and ``generate_preset_pass_manager`` make it: Qiskit itself
runs plain ones for small things, such as the controlled version of a gate.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit
from qiskit.transpiler import PassManager, StagedPassManager

from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks.destination import active
from quantum_monitor.frameworks.executions import enclosing, facts_of_all
from quantum_monitor.frameworks.patches import Patches
from quantum_monitor.run import Run


class _Here(threading.local):
    """Whether the present thread is transpiling: passes run pass managers of their own."""

    inside = False


_HERE = _Here()


def install(patches: Patches) -> None:
    """Wrap what transpiles; ``transpile`` runs a pass manager, too."""
    patches.wrap_family(PassManager, "run", _run)


def _run(original: Callable[..., Any], manager: Any, *args: Any, **kwargs: Any) -> Any:
    if _HERE.inside or enclosing() is not None or not isinstance(manager, StagedPassManager):
        return original(manager, *args, **kwargs)
    run = active()[1]
    if run is None:
        return original(manager, *args, **kwargs)
    _HERE.inside = True
    began = time.perf_counter()
    try:
        made = original(manager, *args, **kwargs)
    finally:
        _HERE.inside = False
    seconds = time.perf_counter() - began
    try:
        _note(run, seconds, args[0] if args else kwargs.get("circuits"), made)
    except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
        FAULTS.internal("instrumentation", error)
    return made


def _note(run: Run, seconds: float, given: Any, made: Any) -> None:
    called_at = time.perf_counter()
    pairs = list(zip(_listed(given), _listed(made), strict=False))
    if pairs and all(isinstance(circuit, QuantumCircuit) for pair in pairs for circuit in pair):
        before, after = facts_of_all(max(pairs, key=lambda pair: len(pair[0].data)))
        run.transpilation(seconds, before, after)
        run.spent("instrumentation", called_at)


def _listed(circuits: Any) -> list[Any]:
    return circuits if isinstance(circuits, list) else [circuits]
