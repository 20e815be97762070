"""What backends of Qiskit say of themselves: IBM's, fakes, simulators, and whatever else is a BackendV2."""

from __future__ import annotations

import contextlib
import inspect
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from quantum_monitor import masking
from quantum_monitor.backends.reading import BackendReading, name_of
from quantum_monitor.faults import FAULTS
from quantum_monitor.hardware.qiskit_device import QiskitDevice
from quantum_monitor.names import text

_INTERFACE = {"Backend", "BackendV2"}


class QiskitReader:
    """Reads one backend; what it was calibrated to is worked out again only when that has changed."""

    def __init__(self) -> None:
        self._calibrated: object = None
        self._figures: dict[str, Any] | None = None

    def __call__(self, backend: Any) -> BackendReading:
        """Ask for the status; then for properties, without which the reading says less.

        Raises:
            Exception: whatever the backend raises when asked for its status.
        """
        local = is_local(type(backend))
        up, pending = _status(backend, local=local)
        try:
            figures = self._known_figures(backend, local=local)
        except Exception as error:  # noqa: BLE001 - a vendor's data may have any shape: then the status is all
            FAULTS.rejected("backends", f"properties of {name_of(backend)}: {masking.text(text(error))}")
            figures = {}
        return BackendReading(name_of(backend), up=up, pending_jobs=pending, **figures)

    def _known_figures(self, backend: Any, *, local: bool) -> dict[str, Any]:
        if local and self._figures is not None:  # what is in this process is not calibrated anew
            return self._figures
        fresh = None if local else _fresh_properties(backend)
        calibrated = getattr(fresh, "last_update_date", None)
        if self._figures is None or calibrated is None or calibrated != self._calibrated:
            self._figures = _figures(backend, fresh)
            self._calibrated = calibrated
        return self._figures


def is_local(kind: type) -> bool:
    """Whether backends of a class live in this process: Qiskit's own, Aer's, and the fakes of IBM's."""
    own = [base.__module__ for base in kind.__mro__ if base.__name__ not in _INTERFACE]
    return any(module.split(".")[0] in {"qiskit", "qiskit_aer"} or "fake_provider" in module for module in own)


def _status(backend: Any, *, local: bool) -> tuple[bool | None, int | None]:
    """Whether it takes jobs, and how many wait."""
    if not callable(getattr(type(backend), "status", None)):
        return (True if local else None), None
    told = backend.status()
    if isinstance(told, bool):  # as qiskit-ionq says it
        return told, None
    operational, pending = getattr(told, "operational", None), getattr(told, "pending_jobs", None)
    return (None if operational is None else bool(operational)), pending


def _fresh_properties(backend: Any) -> Any:
    """The properties as the provider has them now, without touching the target that the program compiles for."""
    properties = getattr(type(backend), "properties", None)
    if properties is None or "refresh" not in inspect.signature(properties).parameters:
        return None
    return backend.properties(refresh=True)


def _figures(backend: Any, fresh: Any) -> dict[str, Any]:
    view = backend if fresh is None else _as_of(backend, fresh)
    device = QiskitDevice(view, None)
    stated = device.stated()
    rates = {"1q": stated.one_qubit_error, "2q": stated.two_qubit_error, "readout": stated.readout_error}
    return {
        "error_rates": {operation: rate for operation, rate in rates.items() if rate is not None},
        "qubits": device.qubits,
        "volume": _volume(backend),
        "t1": stated.t1,
        "t2": stated.t2,
        "calibration_time": stated.calibration_time,
    }


def _as_of(backend: Any, properties: Any) -> Any:
    """The backend as its properties are now: its own target is that of the day it was fetched."""
    target = None
    with contextlib.suppress(Exception):  # it is no public function: without it, the older target
        converter = import_module("qiskit_ibm_runtime.utils.backend_converter")
        target = converter.convert_to_target(configuration=backend.configuration(), properties=properties)
    target = backend.target if target is None else target
    return SimpleNamespace(target=target, name=backend.name, properties=lambda: properties)


def _volume(backend: Any) -> int | None:
    with contextlib.suppress(Exception):  # few have one
        volume = backend.configuration().quantum_volume
        return int(volume) if volume else None
    return None
