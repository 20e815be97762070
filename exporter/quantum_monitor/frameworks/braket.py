"""Amazon Braket on this machine: its local simulators. What runs at AWS is a task: see `braket_aws`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from braket.devices import LocalSimulator

from quantum_monitor.backends.reading import name_of
from quantum_monitor.frameworks.executions import Batch, observed
from quantum_monitor.frameworks.patches import Patches


def install(patches: Patches) -> None:
    """Wrap what executes circuits."""
    for name, around in _AROUND.items():
        patches.wrap_family(LocalSimulator, name, around)


def watch(patches: Patches, thing: Any) -> bool:
    """Wrap what executes circuits of one simulator."""
    if not isinstance(thing, LocalSimulator):
        return False
    for name, around in _AROUND.items():
        patches.wrap_object(thing, name, around)
    return True


def shots_of(specification: Any, shots: Any) -> int | None:
    """Shots of a task; None where the simulation is exact. A set of programs knows how many all of them take."""
    if shots is None or shots < 0:
        shots = getattr(specification, "total_shots", None)
    return int(shots) if shots else None


def _run(original: Any, device: Any, *args: Any, **kwargs: Any) -> Any:
    return observed(_task, original, device, *args, **kwargs)


def _run_batch(original: Any, device: Any, *args: Any, **kwargs: Any) -> Any:
    if args and isinstance(args[0], Iterator):  # Braket takes one; it can be gone through only once
        args = (list(args[0]), *args[1:])
    elif isinstance(kwargs.get("task_specifications"), Iterator):
        kwargs["task_specifications"] = list(kwargs["task_specifications"])
    return observed(_tasks, original, device, *args, **kwargs)


def _task(device: Any, task_specification: Any, shots: Any = None, *_: Any, **__: Any) -> Batch:
    return Batch(name_of(device), (task_specification,), shots_of(task_specification, shots))


def _tasks(
    device: Any,
    task_specifications: Any,
    shots: Any = 0,
    max_parallel: Any = None,  # noqa: ARG001 - the order of Braket's
    inputs: Any = None,
    *_: Any,
    **__: Any,
) -> Batch:
    if isinstance(task_specifications, Sequence):
        circuits = task_specifications
    else:  # one, for each of several inputs
        circuits = (task_specifications,) * (1 if inputs is None or isinstance(inputs, dict) else len(inputs))
    return Batch(name_of(device), circuits, shots_of(circuits, shots) if not isinstance(shots, Sequence) else shots)


_AROUND = {"run": _run, "run_batch": _run_batch}
