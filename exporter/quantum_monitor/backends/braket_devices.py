"""What devices of Amazon Braket say of themselves, whichever vendor's: from one call of the service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from quantum_monitor.backends.moments import unix_time
from quantum_monitor.backends.reading import BackendReading, name_of

_TASKS = "QUANTUM_TASKS_QUEUE"
_SIZE = re.compile(r">? ?([0-9]{1,9})")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_RIGETTI_GATES = ("fCZ", "fCPHASE", "fXY", "fISWAP")


def read(device: Any) -> BackendReading:
    """Ask a device; the object is left as it is, for the program to refresh when it likes.

    Raises:
        Exception: whatever the service raises.
    """
    if not hasattr(device, "arn"):
        return BackendReading(name_of(device), up=True, qubits=_qubits(json.loads(device.properties.json())))
    told = device.aws_session.get_device(device.arn)
    capabilities = json.loads(told.get("deviceCapabilities") or "{}")
    return BackendReading(
        name_of(device),
        up=told["deviceStatus"] == "ONLINE",
        pending_jobs=_waiting(told.get("deviceQueueInfo") or ()),
        qubits=_qubits(capabilities),
        calibration_time=unix_time((capabilities.get("service") or {}).get("updatedAt")),
        **_figures(capabilities.get("standardized") or {}, capabilities.get("provider") or {}),
    )


def _waiting(queues: Iterable[Mapping[str, str]]) -> int | None:
    """Quantum tasks in both queues of a device; ``>4000`` counts as 4000: there are at least so many."""
    sizes = [_SIZE.fullmatch(queue.get("queueSize", "")) for queue in queues if queue.get("queue") == _TASKS]
    known = [int(size[1]) for size in sizes if size is not None]
    return sum(known) if known else None


def _qubits(capabilities: Mapping[str, Any]) -> int | None:
    count = (capabilities.get("paradigm") or {}).get("qubitCount")
    return None if count is None else int(count)


def _figures(standardized: Mapping[str, Any], provider: Mapping[str, Any]) -> dict[str, Any]:
    """Medians in Braket's own form, the same for all vendors; where that is absent in the vendor's."""
    rates, times = _standardized(standardized)
    for known, further in zip((rates, times), _of_the_vendor(provider), strict=True):
        known.update({name: value for name, value in further.items() if name not in known})
    return {"error_rates": rates, **times}


def _standardized(told: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Error rates and times of versions 1 and 2, by qubit and pair, and of version 3, of the whole device."""
    qubits = list((told.get("oneQubitProperties") or {}).values())
    pairs = list((told.get("twoQubitProperties") or {}).values())
    fidelities = {
        "1q": [_gate(qubit.get("oneQubitFidelity") or ()) for qubit in qubits],
        "readout": [
            *(_readout(qubit.get("oneQubitFidelity") or ()) for qubit in qubits),
            *(_fidelity(found) for found in told.get("ReadoutFidelity") or ()),
        ],
        "2q": [
            *(_best(pair.get("twoQubitGateFidelity") or ()) for pair in pairs),
            *(_fidelity(found) for found in told.get("TwoQubitGateFidelity") or ()),
        ],
    }
    times = {
        "t1": [_seconds(found.get("T1")) for found in (*qubits, told)],
        "t2": [_seconds(found.get("T2")) for found in (*qubits, told)],
    }
    return _errors(fidelities), _medians(times)


def _of_the_vendor(told: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """IonQ's averages over the device; Rigetti's numbers by qubit and pair, as they were before Braket had its form."""
    fidelity, timing = told.get("fidelity") or {}, told.get("timing") or {}
    specs = told.get("specs") or {}
    qubits, pairs = list((specs.get("1Q") or {}).values()), list((specs.get("2Q") or {}).values())
    fidelities = {
        "1q": [_average(fidelity.get("1Q")), *(qubit.get("f1QRB") for qubit in qubits)],
        "2q": [_average(fidelity.get("2Q")), *(_most(pair.get(gate) for gate in _RIGETTI_GATES) for pair in pairs)],
        "readout": [_average(fidelity.get("spam")), *(qubit.get("fRO") for qubit in qubits)],
    }
    times = {
        "t1": [timing.get("T1"), *(qubit.get("T1") for qubit in qubits)],
        "t2": [timing.get("T2"), *(qubit.get("T2") for qubit in qubits)],
    }
    return _errors(fidelities), _medians(times)


def _gate(found: Iterable[Mapping[str, Any]]) -> float | None:
    """The fidelity of a gate on one qubit alone: by randomized benchmarking where that was done."""
    gates = [each for each in found if not _kind(each).startswith("READOUT")]
    alone = [each for each in gates if _kind(each) == "RANDOMIZED_BENCHMARKING"]
    return next((_fidelity(each) for each in alone or gates), None)


def _readout(found: Iterable[Mapping[str, Any]]) -> float | None:
    return next((_fidelity(each) for each in found if _kind(each) == "READOUT"), None)


def _best(found: Iterable[Mapping[str, Any]]) -> float | None:
    """The best gate of a pair: the one that a compiler takes."""
    return _most(_fidelity(each) for each in found)


def _kind(found: Mapping[str, Any]) -> str:
    return str((found.get("fidelityType") or {}).get("name", "")).upper()


def _fidelity(found: Mapping[str, Any]) -> float | None:
    value = found.get("median")
    return found.get("fidelity") if value is None else value


def _average(found: Mapping[str, float] | None) -> float | None:
    told = found or {}
    return told.get("median", told.get("mean"))


def _seconds(found: Mapping[str, Any] | None) -> float | None:
    told = found or {}
    value, unit = told.get("value"), _SECONDS.get(str(told.get("unit", "")).lower())
    return None if value is None or unit is None else float(value) * unit


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _errors(fidelities: Mapping[str, Iterable[float | None]]) -> dict[str, float]:
    return {name: 1.0 - fidelity for name, fidelity in _medians(fidelities).items()}


def _medians(values: Mapping[str, Iterable[float | None]]) -> dict[str, float]:
    known = {name: [float(value) for value in some if value is not None] for name, some in values.items()}
    return {name: median(some) for name, some in known.items() if some}
