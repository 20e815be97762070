"""Watching one device, backend or QNode, for people who want no framework instrumented as a whole."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

from quantum_monitor.frameworks.destination import sending_to
from quantum_monitor.frameworks.patches import Around, Patches
from quantum_monitor.frameworks.registry import loaded, ours

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor

_WATCHED: dict[int, Patches] = {}
"""By the id of the object: a device of Braket's cannot be the key of a dictionary."""


class _ForOne(Patches):
    """Wrappings of one object, whose executions go to one monitor."""

    def __init__(self, monitor: QuantumMonitor) -> None:
        super().__init__()
        self._monitor = monitor

    def wrap_object(self, thing: Any, name: str, around: Around) -> None:
        """Wrap a method of the object; see `Patches.wrap_object`."""

        @functools.wraps(around)
        def to_this_monitor(*args: Any, **kwargs: Any) -> Any:
            with sending_to(self._monitor):
                return around(*args, **kwargs)

        super().wrap_object(thing, name, to_this_monitor)


def watch(monitor: QuantumMonitor, thing: Any) -> None:
    """Count what an object executes; see `QuantumMonitor.watch`."""
    unwatch(thing)
    patches = _ForOne(monitor)
    for integration in loaded():
        watch_one = getattr(ours(integration), "watch", None)
        if watch_one is not None and watch_one(patches, thing):
            _WATCHED[id(thing)] = patches
            weakref.finalize(thing, _WATCHED.pop, id(thing), None).atexit = False
            return
    raise ValueError(
        f"{type(thing).__name__} cannot be watched; hand over a PennyLane device or QNode, a Qiskit primitive or "
        "backend, a Cirq sampler or simulator, or a Braket device"
    )


def unwatch(thing: Any) -> None:
    """Watch an object no more."""
    patches = _WATCHED.pop(id(thing), None)
    if patches is not None:
        patches.undo()
