"""Watching one device, backend or QNode, for people who want no framework instrumented as a whole."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from quantum_monitor.frameworks.destination import sending_to
from quantum_monitor.frameworks.patches import Around, Patches
from quantum_monitor.frameworks.registry import loaded, ours

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor

_WATCHED: dict[int, tuple[weakref.ref[Any], Patches]] = {}
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
        if watch_one is not None and _is_theirs(watch_one, patches, thing):
            gone = partial(_forget, id(thing))
            _WATCHED[id(thing)] = weakref.ref(thing, gone), patches
            return
    raise ValueError(
        f"{type(thing).__name__} cannot be watched; hand over a PennyLane device or QNode, a Qiskit primitive or "
        "backend, a Cirq sampler or simulator, or a Braket device"
    )


def unwatch(thing: Any) -> None:
    """Watch an object no more."""
    _, patches = _WATCHED.pop(id(thing), (None, None))
    if patches is not None:
        patches.undo()


def _forget(number: int, _: weakref.ref[Any]) -> None:
    _WATCHED.pop(number, None)


def _is_theirs(watch_one: Callable[[Patches, Any], bool], patches: Patches, thing: Any) -> bool:
    """Whether a framework knows the object, and it can be wrapped."""
    try:
        return watch_one(patches, thing)
    except AttributeError:
        patches.undo()
        return False
