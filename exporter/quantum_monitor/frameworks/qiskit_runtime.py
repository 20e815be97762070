"""IBM Runtime's executor. Its samplers and estimators are instrumented as Qiskit's are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qiskit_ibm_runtime

from quantum_monitor.frameworks import qiskit_jobs
from quantum_monitor.frameworks.executions import Batch, sent
from quantum_monitor.frameworks.patches import Patches
from quantum_monitor.frameworks.qiskit import place_of

_EXECUTOR = getattr(qiskit_ibm_runtime, "Executor", None)  # versions before 0.43 have none


def install(patches: Patches) -> None:
    """Wrap what executes circuits besides the primitives."""
    if _EXECUTOR is not None:
        qiskit_jobs.HOOKS.hold(patches)
        patches.wrap(_EXECUTOR, "run", _run_program)


def watch(patches: Patches, thing: Any) -> bool:
    """Wrap one executor."""
    if _EXECUTOR is None or not isinstance(thing, _EXECUTOR):
        return False
    qiskit_jobs.HOOKS.hold(patches)
    patches.wrap_object(thing, "run", _run_program)
    return True


def _run_program(original: Callable[..., Any], executor: Any, *args: Any, **kwargs: Any) -> Any:
    return sent(_program, qiskit_jobs.follow, original, executor, *args, **kwargs)


def _program(executor: Any, program: Any, dry_run: bool = False) -> Batch | None:
    """What an executor is asked for: each item's circuit as often as it has sets of values."""
    place = place_of(executor._backend, "executor")
    if dry_run and not place.local:
        return None
    circuits = [item.circuit for item in program.items for _ in range(item.size())]
    return Batch(place.label, circuits, program.shots, place.local, place.device)
