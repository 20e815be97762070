"""Cirq's samplers as a Device: simulators with and without noise, and engines or their virtual machines."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quantum_monitor.hardware import cirq_noise
from quantum_monitor.hardware.device import AT_ONCE_LOCALLY, Counts
from quantum_monitor.hardware.profile import Stated
from quantum_monitor.names import text
from quantum_monitor.physics.volume import ModelCircuit

_WIDEST_SIMULATED = 20


class CirqDevice:
    """A sampler of Cirq, or a processor that has one.

    A gate of a model circuit is compiled to what the device plays, and to controlled-Z and one-qubit gates where no
    device is known: noise models add their noise a moment, so a whole unitary in one moment would get too little.

    Args:
        backend: it.
        qubits: the qubits to use, in this order (numbers are those of a line); where None a connected part of the
            device, beginning where it is best connected, or a line where no device is known.

    Raises:
        ValueError: the device has no such qubit.
    """

    framework = "cirq"

    def __init__(self, backend: Any, qubits: Sequence[Any] | None) -> None:
        import cirq

        self._sampler = backend if hasattr(backend, "run_batch") else backend.get_sampler()
        self._metadata = _metadata(backend)
        self._graph = None if self._metadata is None else self._metadata.nx_graph
        known = getattr(self._sampler, "processor_id", None) or getattr(backend, "processor_id", None)
        self.name = text(known or f"cirq.{type(backend).__name__}")
        self.qubits: int | None = None if self._graph is None else len(self._graph)
        self._qubits = self._order(cirq, qubits)
        self.chosen = tuple(map(text, self._qubits)) if qubits is not None else ()
        self.widest = len(self._qubits)
        self._local = isinstance(self._sampler, (cirq.SimulatesSamples,))
        self.at_once: int | None = AT_ONCE_LOCALLY if self._local else None
        gatesets: Sequence[Any] = getattr(self._metadata, "compilation_target_gatesets", ())
        self._gateset = next(iter(gatesets), None) or cirq.CZTargetGateset()
        routed = "" if self._graph is None else ", routed by cirq.RouteCQC"
        self.compilation = f"cirq.optimize_for_target_gateset for {type(self._gateset).__name__}{routed}"
        self._backend = backend

    def basis_gates(self) -> tuple[str, ...]:
        """The families of gates that the device's metadata list."""
        gateset = getattr(self._metadata, "gateset", None)
        return () if gateset is None else tuple(sorted(text(family.gate) for family in gateset.gates))

    def stated(self) -> Stated:
        """What the noise model says, and when the processor was calibrated."""
        return cirq_noise.stated(getattr(self._sampler, "noise", None), _calibration_time(self._backend))

    def versions(self) -> dict[str, str]:
        """None beside those of the packages."""
        return {}

    def readout_qubits(self, width: int) -> list[tuple[str, Any]]:
        """The chosen qubits, else all of the device; of a simulator the first ``width``."""
        found = self._qubits if self._graph is not None or self.chosen else self._qubits[:width]
        return [(text(qubit), qubit) for qubit in found]

    def preparations(self, group: Sequence[Any], seed: int) -> list[Any]:  # noqa: ARG002 - nothing is random here
        """0...0 and 1...1 on these qubits."""
        import cirq

        excited = self._compiled(cirq.Circuit(cirq.X.on_each(*group)))
        return [cirq.Circuit(_reads(group)), cirq.Circuit(*excited, _reads(group))]

    def model_circuits(self, circuits: Sequence[ModelCircuit], width: int, seed: int) -> list[Any]:  # noqa: ARG002
        """Routed and compiled, on the first ``width`` qubits."""
        import cirq

        qubits = self._qubits[:width]
        made = []
        for circuit in circuits:
            gates = as_cirq(circuit, qubits)
            if self._graph is None:
                made.append(cirq.Circuit(*self._compiled(gates), _reads(qubits)))
                continue
            route = cirq.RouteCQC(self._graph.subgraph(qubits))
            made.append(self._compiled(route(gates + cirq.Circuit(_reads(qubits)))))
        return made

    def sample(self, compiled: Sequence[Any], shots: int, seed: int, timeout: float | None) -> list[Counts]:  # noqa: ARG002
        """One batch; Cirq waits for it as long as it takes."""
        found = self._sampler.run_batch(list(compiled), repetitions=shots)
        return [_counts(results[0].measurements) for results in found]

    def _compiled(self, circuit: Any) -> Any:
        import cirq

        return cirq.optimize_for_target_gateset(circuit, gateset=self._gateset)

    def _order(self, cirq: Any, qubits: Sequence[Any] | None) -> list[Any]:
        if qubits is None:
            return cirq.LineQubit.range(_WIDEST_SIMULATED) if self._graph is None else _connected(self._graph)
        found = [cirq.LineQubit(qubit) if isinstance(qubit, int) else qubit for qubit in qubits]
        for qubit in found:
            if not isinstance(qubit, cirq.Qid) or (self._graph is not None and qubit not in self._graph):
                raise ValueError(f"qubits: {qubit!r} is no qubit of the backend; hand over Cirq's qubits of the device")
        return found


def as_cirq(circuit: ModelCircuit, qubits: Sequence[Any]) -> Any:
    """A model circuit in Cirq, without measurements; in both the first qubit is the most significant."""
    import cirq

    return cirq.Circuit(
        cirq.MatrixGate(unitary, unitary_check=False).on(qubits[first], qubits[second])
        for (first, second), unitary in circuit
    )


def _reads(qubits: Sequence[Any]) -> Any:
    """A key for each qubit: routing may move the qubit, the key stays."""
    import cirq

    return cirq.Moment(cirq.measure(qubit, key=f"m{number}") for number, qubit in enumerate(qubits))


def _counts(measurements: Mapping[str, Any]) -> dict[int, int]:
    """Outcomes as numbers, from an array (shots, 1) of bits for each qubit."""
    numbers = np.zeros(len(measurements["m0"]), dtype=np.int64)
    for qubit in range(len(measurements)):
        numbers = 2 * numbers + np.asarray(measurements[f"m{qubit}"])[:, 0]
    return Counter(numbers.tolist())


def _connected(graph: Any) -> list[Any]:
    """The best connected qubit and all that are connected with it, each with a neighbour among those before it."""
    order: list[Any] = []
    near = set(graph)
    while near:
        # Most neighbours among those taken, so that little is routed; then most neighbours at all.
        order.append(max(sorted(near), key=lambda qubit: (sum(n in order for n in graph[qubit]), len(graph[qubit]))))
        near = {other for qubit in order for other in graph[qubit]} - set(order)
    return order


def _metadata(backend: Any) -> Any | None:
    """What Cirq knows of the device, where there is one."""
    for owner in _owners(backend):
        device = getattr(owner, "device", None)
        if device is None and callable(getattr(owner, "get_device", None)):
            device = owner.get_device()
        metadata = getattr(device, "metadata", None)
        if metadata is not None:
            return metadata
    return None


def _calibration_time(backend: Any) -> float | None:
    for owner in _owners(backend):
        with contextlib.suppress(Exception):  # asking a service, which may refuse: then nobody says
            return float(owner.get_current_calibration().timestamp) / 1000
    return None


def _owners(backend: Any) -> list[Any]:
    """Whom to ask about a device: the backend, and the processor that a sampler of an engine belongs to."""
    return [backend, getattr(backend, "processor", None)]
