"""What the noise model of a Cirq simulator says of gates, readout and decay."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

import numpy as np

from quantum_monitor.hardware.profile import Stated


def stated(noise: Any, calibration_time: float | None = None) -> Stated:
    """The errors of a noise model, as average gate infidelities; empty for models that are neither of the two known.

    A constant noise model applies one channel to every qubit in every moment: a gate's error is that of one moment.
    Models from noise properties list Pauli errors, T1 and T_phi in nanoseconds, and readout errors.

    The average infidelity of a channel of entanglement fidelity :math:`F_e` in dimension d is
    :math:`d(1 - F_e)/(d + 1)`. Source: M. A. Nielsen, Phys. Lett. A 303, 249 (2002).
    """
    import cirq

    if isinstance(noise, cirq.ConstantQubitNoiseModel):
        kept = _entanglement_fidelity(cirq.kraus(noise.qubit_noise_gate))
        return Stated(
            one_qubit_error=_infidelity(1 - kept, 2),
            two_qubit_error=_infidelity(1 - kept * kept, 4),
            calibration_time=calibration_time,
        )
    properties = getattr(noise, "_noise_properties", None)
    if isinstance(properties, cirq.SuperconductingQubitsNoiseProperties):
        return _of_properties(properties, calibration_time)
    return Stated(calibration_time=calibration_time)


def _of_properties(properties: Any, calibration_time: float | None) -> Stated:
    errors = properties.gate_pauli_errors.items()
    t1 = {qubit: time * 1e-9 for qubit, time in properties.t1_ns.items()}
    t2 = [
        1 / (1 / (2 * t1[qubit]) + 1 / (dephasing * 1e-9))
        for qubit, dephasing in properties.tphi_ns.items()
        if qubit in t1 and dephasing > 0 and t1[qubit] > 0
    ]
    return Stated(
        one_qubit_error=_median(_infidelity(error, 2) for gate, error in errors if len(gate.qubits) == 1),
        two_qubit_error=_median(_infidelity(error, 4) for gate, error in errors if len(gate.qubits) == 2),
        readout_error=_median(sum(pair) / 2 for pair in properties.readout_errors.values()),
        t1=_median(t1.values()),
        t2=_median(t2),
        calibration_time=calibration_time,
    )


def _entanglement_fidelity(operators: Iterable[Any]) -> float:
    found = [np.asarray(operator) for operator in operators]
    return float(sum(abs(np.trace(operator)) ** 2 for operator in found) / len(found[0]) ** 2)


def _infidelity(pauli_error: float, dimension: int) -> float:
    return max(0.0, float(pauli_error)) * dimension / (dimension + 1)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None
