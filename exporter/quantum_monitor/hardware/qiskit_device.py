"""Qiskit's backends as a Device: whatever has the methods of BackendV2, and IBM's own through the Sampler."""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from importlib import import_module
from statistics import median
from typing import Any

from quantum_monitor.hardware.device import AT_ONCE_LOCALLY, Counts, TimeIsUpError
from quantum_monitor.hardware.profile import Stated
from quantum_monitor.names import text
from quantum_monitor.physics.volume import ModelCircuit

_LEVEL = 3
_WIDEST_SIMULATED = 20
_BASIS = ("cx", "u", "rz", "sx", "x")


class QiskitDevice:
    """A backend of Qiskit.

    Args:
        backend: it.
        qubits: the physical qubits to use, in this order; the transpiler's choice for each circuit where None.

    Raises:
        ValueError: the backend has no such qubit.
    """

    framework = "qiskit"
    compilation = f"qiskit transpiler, optimization level {_LEVEL}"

    def __init__(self, backend: Any, qubits: Sequence[int] | None) -> None:
        self._backend = backend
        self._target = backend.target
        name = getattr(backend, "name", None)
        self.name = text((name() if callable(name) else name) or type(backend).__name__)
        self.qubits: int | None = self._target.num_qubits
        self._chosen = None if qubits is None else _checked(qubits, self.qubits)
        self.chosen = tuple(map(str, self._chosen or ()))
        self.widest = len(self._chosen) if self._chosen else self.qubits or _WIDEST_SIMULATED
        module = type(backend).__module__
        self._local = module.split(".")[0] in {"qiskit", "qiskit_aer"} or "fake_provider" in module
        most = getattr(backend, "max_circuits", None)
        self.at_once: int | None = AT_ONCE_LOCALLY if self._local else most if isinstance(most, int) else None
        self._passes: dict[Hashable, Any] = {}

    def basis_gates(self) -> tuple[str, ...]:
        """Names of the gates of the target."""
        return tuple(sorted(name for name in self._target.operation_names if self._is_gate(name)))

    def stated(self) -> Stated:
        """Medians of the target's data; the calibration as the backend's properties date it."""
        properties = [found for found in self._target.qubit_properties or () if found is not None]
        return Stated(
            one_qubit_error=_median(self._errors(1)),
            two_qubit_error=_median(self._errors(2)),
            readout_error=_median(
                found.error
                for found in self._entries("measure").values()
                if found is not None and found.error is not None
            ),
            t1=_median(found.t1 for found in properties),
            t2=_median(found.t2 for found in properties),
            calibration_time=_calibration_time(self._backend),
        )

    def versions(self) -> dict[str, str]:
        """The version of the backend, where it has one."""
        version = getattr(self._backend, "backend_version", None)
        return {"backend": text(version)} if version else {}

    def readout_qubits(self, width: int) -> list[tuple[str, int]]:
        """The chosen qubits, else all that can be measured; where all are alike the first ``width``."""
        if self._chosen is not None:
            found = list(self._chosen)
        elif self.qubits is None or self._target.build_coupling_map() is None:
            found = list(range(min(width, self.qubits or width)))
        else:
            measurable = {qubits[0] for qubits in self._entries("measure") if qubits}
            found = sorted(measurable) if measurable else list(range(self.qubits))
        return [(str(qubit), qubit) for qubit in found]

    def preparations(self, group: Sequence[int], seed: int) -> list[Any]:
        """0...0 and 1...1 on these physical qubits."""
        made = []
        for prepared in (0, 1):
            circuit = _empty(len(group))
            for qubit in range(len(group)) if prepared else ():
                circuit.x(qubit)
            made.append(_with_every_qubit_read(circuit))
        return self._compiled(made, 1, tuple(group), seed)

    def model_circuits(self, circuits: Sequence[ModelCircuit], width: int, seed: int) -> list[Any]:
        """Transpiled for the target: on the chosen qubits, or where the transpiler expects the fewest errors."""
        layout = None if self._chosen is None else tuple(self._chosen[:width])
        made = [_with_every_qubit_read(as_qiskit(circuit, width)) for circuit in circuits]
        return self._compiled(made, _LEVEL, layout, seed)

    def sample(self, compiled: Sequence[Any], shots: int, seed: int, timeout: float | None) -> list[Counts]:
        """One job of the backend's ``run``, of IBM's backends one of the Sampler."""
        until = None if timeout is None else time.monotonic() + timeout
        primitive = _takes_primitives_only(self._backend)
        if primitive:
            job = import_module("qiskit_ibm_runtime").SamplerV2(mode=self._backend).run(list(compiled), shots=shots)
        else:
            options = {"seed_simulator": seed} if hasattr(self._backend.options, "seed_simulator") else {}
            job = self._backend.run(list(compiled), shots=shots, **options)
        result = self._waited_for(job, until)
        if primitive:
            return [result[number].data.m.get_counts() for number in range(len(compiled))]
        if not getattr(result, "success", True):
            raise RuntimeError(f"the job failed: {text(getattr(result, 'status', 'no reason given'))}")
        return [result.get_counts(number) for number in range(len(compiled))]

    def _waited_for(self, job: Any, until: float | None) -> Any:
        # Jobs of simulators in this process are done when they are there, and warn of a timeout.
        waits = not self._local and until is not None and "timeout" in inspect.signature(job.result).parameters
        try:
            return job.result(timeout=max(until - time.monotonic(), 0.1)) if waits and until else job.result()
        except BaseException as error:
            if not self._local:
                with contextlib.suppress(Exception):  # it may have ended already
                    job.cancel()
            if waits and until and isinstance(error, Exception) and time.monotonic() >= until:
                raise TimeIsUpError from error
            raise

    def _compiled(self, circuits: list[Any], level: int, layout: tuple[int, ...] | None, seed: int) -> list[Any]:
        from qiskit.transpiler import generate_preset_pass_manager

        key = (level, layout, seed)
        if key not in self._passes:
            options: dict[str, Any] = {"target": self._target}
            if (basis := self._basis()) is not None:
                options = {"basis_gates": [*basis, "measure"], "coupling_map": self._target.build_coupling_map()}
            self._passes[key] = generate_preset_pass_manager(
                level, initial_layout=None if layout is None else list(layout), seed_transpiler=seed, **options
            )
        # One process: Qiskit would fork others, from a training with threads.
        done: list[Any] = self._passes[key].run(circuits, num_processes=1)
        return done

    def _basis(self) -> list[str] | None:
        """The gates to compile to where the target misleads; None where it does not."""
        names = self._target.operation_names
        if "unitary" in names:  # else a model circuit stays a handful of matrices
            return [name for name in _BASIS if name in names]
        # Aer lists the gates of a noise model beside its usual ones, which have no noise and would be chosen.
        noise = getattr(getattr(self._backend.options, "noise_model", None), "noise_instructions", ())
        gates = [name for name in names if self._is_gate(name)]
        pairs = {name for name in gates if self._target.operation_from_name(name).num_qubits == 2}
        spared = pairs.difference(noise) if pairs.intersection(noise) else set()
        return [name for name in gates if name not in spared] if spared else None

    def _is_gate(self, name: str) -> bool:
        from qiskit.circuit import Gate

        return isinstance(self._target.operation_from_name(name), Gate)

    def _entries(self, name: str) -> dict[Any, Any]:
        return dict(self._target[name]) if name in self._target.operation_names else {}

    def _errors(self, size: int) -> list[float]:
        """The error of the best gate on each qubit or pair; gates that are not played, such as ``rz``, do not count."""
        best: dict[int, float] = {}  # by number: 16,000 containers would set off a long garbage collection
        for name in self._target.operation_names:
            if name == "id" or not self._is_gate(name):
                continue
            for qubits, known in self._entries(name).items():
                if qubits is None or len(qubits) != size or known is None or known.error is None:
                    continue
                if known.error or known.duration:
                    pair = sum(1 << qubit for qubit in qubits)
                    best[pair] = min(known.error, best.get(pair, known.error))
        return list(best.values())


def as_qiskit(circuit: ModelCircuit, width: int) -> Any:
    """A model circuit in Qiskit, without measurements; qubit 0, the most significant, is Qiskit's qubit 0."""
    from qiskit.circuit.library import UnitaryGate

    made = _empty(width)
    for (first, second), unitary in circuit:
        made.append(UnitaryGate(unitary, check_input=False), [second, first])  # the last is the most significant there
    return made


def _empty(width: int) -> Any:
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    return QuantumCircuit(QuantumRegister(width, "q"), ClassicalRegister(width, "m"))


def _with_every_qubit_read(circuit: Any) -> Any:
    """Qubit 0 into the last bit, which stands leftmost in the outcome."""
    circuit.barrier()
    for qubit in range(circuit.num_qubits):
        circuit.measure(qubit, circuit.num_qubits - 1 - qubit)
    return circuit


def _takes_primitives_only(backend: Any) -> bool:
    """Whether it is one of IBM's own, whose ``run`` raises."""
    kind = type(backend)
    return kind.__module__.startswith("qiskit_ibm_runtime.") and "fake" not in kind.__module__


def _checked(qubits: Sequence[Any], size: int | None) -> list[int]:
    for qubit in qubits:
        if isinstance(qubit, bool) or not isinstance(qubit, int) or qubit < 0 or (size is not None and qubit >= size):
            known = "numbers from 0" if size is None else f"numbers from 0 to {size - 1}"
            raise ValueError(f"qubits: {qubit!r} is no qubit of the backend; hand over {known}")
    return list(qubits)


def _median(values: Iterable[Any]) -> float | None:
    found = [float(value) for value in values if value is not None and 0 <= value < math.inf]
    return median(found) if found else None


def _calibration_time(backend: Any) -> float | None:
    properties: Callable[[], Any] | None = getattr(backend, "properties", None)
    with contextlib.suppress(Exception):  # asking a service, which may refuse: then nobody says
        if callable(properties):
            return float(properties().last_update_date.timestamp())
    return None
