"""Automatic instrumentation of quantum frameworks: their executions are counted without a line of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from quantum_monitor.alerts.rules import nearest
from quantum_monitor.frameworks import destination
from quantum_monitor.frameworks.registry import FRAMEWORKS, Installed, absent
from quantum_monitor.log import LOG

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor

_INSTALLED = Installed()
os.register_at_fork(after_in_child=_INSTALLED.after_fork)


def instrument(frameworks: str | Iterable[str] | None = None, monitor: QuantumMonitor | None = None) -> None:
    """Count what PennyLane, Qiskit, Cirq and Braket execute in this process from now on.

    Frameworks that are imported later are caught, too. What is executed belongs to the run that is active at that
    time; where no monitor is open, one is made at the first execution, as ``QuantumMonitor()`` would be. Calling it
    again adds frameworks, or names another monitor. A framework that is too old, or has changed in a way that nobody
    foresaw, is left as it is, with one warning.

    Args:
        frameworks: ``pennylane``, ``qiskit``, ``cirq``, ``braket``, or several of them; all unless given.
        monitor: the monitor that they are logged to; of the active ones the one constructed last unless given.

    Raises:
        ValueError: a framework that nobody here knows.
    """
    asked = () if frameworks is None else (frameworks,) if isinstance(frameworks, str) else tuple(frameworks)
    for name in asked:
        if name not in FRAMEWORKS:
            raise ValueError(f"frameworks: {name!r} cannot be instrumented; {nearest(str(name), FRAMEWORKS)}")
    for name in absent(asked):
        LOG.warning("%s is not installed: pip install 'quantum-monitor[%s]'; the rest is instrumented", name, name)
    destination.send_to(monitor)
    destination.make_a_monitor_if_needed()
    _INSTALLED.add(asked or FRAMEWORKS)


def uninstrument() -> None:
    """Give the frameworks back as they were; what is being executed is still counted."""
    _INSTALLED.clear()
    destination.send_to(None)
