"""BackendReading: what a backend says of itself, and who can read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, TypeAlias

from quantum_monitor.names import label_value


@dataclass(frozen=True)
class BackendReading:
    """What a backend says of itself; None for what it does not say.

    Attributes:
        name: its name.
        up: whether it takes jobs.
        pending_jobs: jobs in its queue; at least so many where the provider counts no further.
        error_rates: ``1q``, ``2q`` and ``readout`` to the median over the qubits or pairs, 0 to 1.
        qubits: how many it has.
        volume: quantum volume, as the provider publishes it.
        t1: relaxation time in seconds, the median over the qubits.
        t2: dephasing time, likewise.
        calibration_time: Unix time in seconds.
    """

    name: str
    up: bool | None = None
    pending_jobs: int | None = None
    error_rates: Mapping[str, float] = field(default_factory=dict)
    qubits: int | None = None
    volume: int | None = None
    t1: float | None = None
    t2: float | None = None
    calibration_time: float | None = None

    def told(self) -> dict[str, Any]:
        """What it says, as the keyword arguments of `QuantumMonitor.log_backend_status`."""
        known = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "name"}
        return {"up": self.up, **{name: value for name, value in known.items() if value is not None and value != {}}}


Reader: TypeAlias = Callable[[Any], BackendReading]
"""Asks a backend; may take as long as a network does, and raise whatever the backend raises."""


def name_of(backend: Any) -> str:
    """The label of a backend, the one that its executions have; no network is asked."""
    name = getattr(backend, "name", None)
    return label_value((name() if callable(name) else name) or type(backend).__name__)


def reader_of(kind: type) -> Reader | None:
    """A reader for backends of a class, told by the names of its bases so that no framework is imported; or None.

    A reader remembers what does not change, so that each backend has one of its own.
    """
    family = _family(kind)
    if family == "qiskit":
        from quantum_monitor.backends.qiskit_backends import QiskitReader

        return QiskitReader()
    if family == "braket":
        from quantum_monitor.backends.braket_devices import read

        return read
    return None


@lru_cache(maxsize=256)
def _family(kind: type) -> str | None:
    bases = {(base.__module__, base.__name__) for base in kind.__mro__}
    if ("qiskit.providers.backend", "BackendV2") in bases:
        return "qiskit"
    braket = {("braket.aws.aws_device", "AwsDevice"), ("braket.devices.local_simulator", "LocalSimulator")}
    return "braket" if braket & bases else None
