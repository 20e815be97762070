"""What automatic instrumentation adds to a call that executes a small circuit, beside what devqubit adds."""

from __future__ import annotations

import gc
import importlib
import json
import logging
import math
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from benchmarks import _report
from benchmarks._logging import monitored, with_blas_threads
from quantum_monitor import QuantumMonitor, instrument, uninstrument

QUBITS = 4
LAYERS = 2
SHOTS = 1_000
_LEAST_CALLS, _MOST_CALLS = 5, 20  # a block
_BLOCK_SECONDS = 0.04
_WARMING = 3  # calls that are not timed: Python's caches of attributes are empty after a class has changed
_CASE_SECONDS = 15.0
_KEEPING_MEMORY = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"), "67108864")
"""Else glibc may return memory at each call and ask for it again, depending on what happens to lie behind it: a tenth
of a call of Cirq's, and instrumentation would make it faster."""
_LEAST_ROUNDS = 30
_PACKAGES = ("pennylane", "pennylane_lightning", "qiskit", "qiskit-aer", "cirq-core", "amazon-braket-sdk", "devqubit")

Call: TypeAlias = Callable[[], object]
Tracked: TypeAlias = Callable[[Any], Any]
"""Takes what executes circuits (a device, backend, simulator), and gives what is to be called in its place."""


@dataclass(frozen=True)
class Case:
    """A call of a framework.

    Attributes:
        name: what is called.
        framework: as `instrument` names it.
        make: makes the call, with whatever it is to execute on.
    """

    name: str
    framework: str
    make: Callable[[Tracked], Call]


@dataclass(frozen=True)
class Mode:
    """A way to do the call.

    Attributes:
        call: the call.
        on: what is switched on for a block of calls, and off again.
        seen: how many executions the tool has noticed so far.
        settle: has the tool do what it has put off until several executions have come together.
    """

    call: Call
    on: Callable[[], AbstractContextManager[object]] = nullcontext
    seen: Callable[[], float] = lambda: math.inf
    settle: Call = lambda: None


class Block(NamedTuple):
    """Mean seconds of a call in a block: what the caller waits, and the processor time, all threads together."""

    wait: float
    processor: float


@dataclass
class Tracking:
    """devqubit in a run of its own; it tracks the one object that it is handed.

    Attributes:
        every: whether it logs each execution; else the first of each circuit, which is its default.
    """

    run: Any
    every: bool
    _tracked: list[Any] = field(default_factory=list)

    def __call__(self, thing: Any) -> Any:
        """Track an object: give what takes its place."""
        tracked = self.run.wrap(thing, log_every_n=-1 if self.every else 0)
        self._tracked.append(tracked)
        return tracked

    def seen(self) -> float:
        """How many executions it has noticed; the name depends on the adapter."""
        known = [vars(thing) for thing in self._tracked]
        return float(sum(some.get("_execution_count", some.get("_devqubit_execution_count", 0)) for some in known))


def main() -> None:
    """Measure each case in a process of its own: Python has only so many versions of changed classes to remember."""
    os.environ.update(_KEEPING_MEMORY)
    rows: list[Sequence[object]] = [
        ("call", "off", "instrument()", "of the call", "processor", "off again", "watch()", "devqubit", "each logged")
    ]
    for number in range(len(_CASES)):
        rows.append(with_blas_threads("default", "bench_instrumentation", str(number)))
        print(*rows[-1], sep=" | ", flush=True)
    text = (
        f"One call executes a circuit of {QUBITS} qubits and {LAYERS} layers (with {SHOTS:,} shots where it has "
        "shots), or as many as a gradient takes, in a run with its store on disk and an endpoint. Blocks of "
        f"{_MOST_CALLS} calls (fewer of slow ones) take turns, in an order by chance: without instrumentation, without "
        "it again, and with it in each way; what a tool puts off is done before a block ends. A column is the median, "
        "over all rounds, of what a block takes more than the one without, in microseconds a call; in brackets its "
        "confidence interval of 95 % (sign test). 'Processor' "
        "is the time of all threads of the process. 'Off again' is what the machine makes of no difference at all. "
        "Python collects its garbage between the blocks, and freed memory stays with the process.\n\n"
        "devqubit by default logs the first execution of each circuit, and only counts those that follow; 'each "
        "logged' is its `log_every_n=-1`, which keeps a record of each execution, as quantum-monitor does. 'Not seen': "
        "the call passes by it unnoticed. 'Cannot': it takes no such object.\n\n"
        f"The limits: under 5 % of the call, under 100 microseconds, and under devqubit.\n\n{_report.table(rows)}"
    )
    _report.write("instrumentation", "What automatic instrumentation adds to a call", text, packages=_PACKAGES)


def _row(case: Case) -> Sequence[object]:
    with ExitStack() as stack:
        monitor = stack.enter_context(monitored("instrumentation"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="devqubit-", ignore_cleanup_errors=True)))
        modes = _modes(case, monitor, folder, stack)
        seen = {name: mode.seen() for name, mode in modes.items()}
        blocks = _take_turns(list(modes.values()))
        unseen = {name for name, mode in modes.items() if mode.seen() <= seen[name] < math.inf}
    assert not unseen & {"instrument", "watch"}, (case.name, unseen)
    by_name = dict(zip(modes, blocks, strict=True))
    off = by_name["off"]
    call = statistics.median(block.wait for block in off)

    def added(name: str) -> str:
        if name not in by_name:
            return "not installed" if "devqubit" in name and find_spec("devqubit") is None else "cannot"
        return "not seen" if name in unseen else _interval(_differences(by_name[name], off, "wait"))

    on = statistics.median(_differences(by_name["instrument"], off, "wait"))
    return (
        case.name,
        _report.duration(call),
        added("instrument"),
        f"{on / call:.1%}",
        _interval(_differences(by_name["instrument"], off, "processor")),
        *map(added, ("off again", "watch", "devqubit", "devqubit each")),
    )


def _modes(case: Case, monitor: QuantumMonitor, folder: Path, stack: ExitStack) -> dict[str, Mode]:
    plain = case.make(lambda thing: thing)

    run = monitor.active_run
    assert run is not None

    def seen() -> float:
        run.take_in()
        return run.records["circuit"] + run.records["transpilation"]

    on = partial(_instrumented, case.framework, monitor)
    modes = {"off": Mode(plain), "off again": Mode(plain), "instrument": Mode(plain, on, seen, run.take_in)}
    with suppress(ValueError):  # a transpiler cannot be watched
        modes["watch"] = Mode(case.make(monitor.watch), seen=seen, settle=run.take_in)
    if find_spec("devqubit") is not None:
        for name, every in (("devqubit", False), ("devqubit each", True)):
            with suppress(ValueError):  # it has no adapter for this
                modes[name] = _devqubit(case, folder / name, every, stack)
    return modes


def _devqubit(case: Case, folder: Path, every: bool, stack: ExitStack) -> Mode:
    devqubit, config = importlib.import_module("devqubit"), importlib.import_module("devqubit.config")
    run = stack.enter_context(devqubit.track(project="benchmark", config=config.Config(root_dir=folder)))
    tracking = Tracking(run, every)
    return Mode(case.make(tracking), seen=tracking.seen)


@contextmanager
def _instrumented(framework: str, monitor: QuantumMonitor) -> Iterator[None]:
    instrument(framework, monitor)
    try:
        yield
    finally:
        uninstrument()


def _take_turns(modes: Sequence[Mode]) -> list[list[Block]]:
    """Blocks of each mode, as many as fit into the time; those of the same index belong to the same round."""
    blocks: list[list[Block]] = [[] for _ in modes]
    order, source = list(range(len(modes))), random.Random(1)
    gc.collect()
    gc.freeze()
    ends = time.perf_counter() + _CASE_SECONDS
    while len(blocks[0]) < _LEAST_ROUNDS or time.perf_counter() < ends:
        source.shuffle(order)
        for number in order:
            with modes[number].on():
                blocks[number].append(_block(modes[number]))
    return blocks


def _block(mode: Mode) -> Block:
    gc.collect()
    gc.disable()
    for _ in range(_WARMING):
        mode.call()
    mode.settle()
    calls = 0
    began, processor = time.perf_counter(), time.process_time()
    ends = began + _BLOCK_SECONDS
    while calls < _LEAST_CALLS or (calls < _MOST_CALLS and time.perf_counter() < ends):
        mode.call()
        calls += 1
    mode.settle()
    wait, spent = time.perf_counter() - began, time.process_time() - processor
    gc.enable()
    return Block(wait / calls, spent / calls)


def _differences(blocks: Sequence[Block], off: Sequence[Block], what: str) -> list[float]:
    return [getattr(block, what) - getattr(without, what) for block, without in zip(blocks, off, strict=True)]


def _interval(differences: Sequence[float]) -> str:
    """The median in microseconds, and between which ranks it lies at 95 % (sign test, by the normal distribution)."""
    ranked, count = sorted(differences), len(differences)
    low = max(0, math.floor(count / 2 - 0.98 * math.sqrt(count)))
    shown = (statistics.median(ranked), ranked[low], ranked[count - 1 - low])
    middle, lowest, highest = (f"{seconds * 1e6:.0f}" for seconds in shown)
    return f"{middle} [{lowest}, {highest}]"


# PennyLane


def _qnode(tracked: Tracked, device: str, *, diff_method: str = "best", shots: int | None = None) -> Any:
    import pennylane as qml

    @qml.set_shots(shots)
    @qml.qnode(tracked(qml.device(device, wires=QUBITS)), diff_method=diff_method)
    def energy(angles: Any) -> Any:
        for layer in angles:
            for wire, angle in enumerate(layer):
                qml.RY(angle, wires=wire)
            for wire in range(QUBITS - 1):
                qml.CNOT(wires=(wire, wire + 1))
        return qml.expval(qml.Z(0) @ qml.Z(1))

    return energy


def _angles() -> Any:
    from pennylane import numpy as pnp

    return pnp.full((LAYERS, QUBITS), 0.3, requires_grad=True)


def _forward(tracked: Tracked, *, shots: int | None) -> Call:
    return partial(_qnode(tracked, "default.qubit", shots=shots), _angles())


def _gradient(tracked: Tracked, *, device: str, diff_method: str) -> Call:
    import pennylane as qml

    return partial(qml.grad(_qnode(tracked, device, diff_method=diff_method)), _angles())


def _optimizer(tracked: Tracked) -> Call:
    import pennylane as qml

    energy = _qnode(tracked, "lightning.qubit", diff_method="adjoint")
    return partial(qml.GradientDescentOptimizer(0.1).step_and_cost, energy, _angles())


# Qiskit


def _qiskit_circuit(*, measured: bool) -> Any:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(QUBITS)
    for _ in range(LAYERS):
        for qubit in range(QUBITS):
            circuit.ry(0.3, qubit)
        for qubit in range(QUBITS - 1):
            circuit.cx(qubit, qubit + 1)
    if measured:
        circuit.measure_all()
    return circuit


def _sampler(tracked: Tracked) -> Call:
    from qiskit.primitives import StatevectorSampler

    sampler, circuit = tracked(StatevectorSampler()), _qiskit_circuit(measured=True)
    return lambda: sampler.run([circuit], shots=SHOTS).result()


def _estimator(tracked: Tracked) -> Call:
    from qiskit.primitives import StatevectorEstimator
    from qiskit.quantum_info import SparsePauliOp

    estimator, circuit = tracked(StatevectorEstimator()), _qiskit_circuit(measured=False)
    observable = SparsePauliOp("ZZ" + "I" * (QUBITS - 2))
    return lambda: estimator.run([(circuit, observable)]).result()


def _aer(tracked: Tracked) -> Call:
    from qiskit_aer import AerSimulator

    backend, circuit = tracked(AerSimulator()), _qiskit_circuit(measured=True)
    return lambda: backend.run(circuit, shots=SHOTS).result()


def _transpiler(tracked: Tracked) -> Call:
    from qiskit.transpiler import generate_preset_pass_manager

    basis = ["rz", "sx", "x", "cz"]
    manager = tracked(generate_preset_pass_manager(1, basis_gates=basis, coupling_map=[[0, 1], [1, 2], [2, 3]]))
    return partial(manager.run, _qiskit_circuit(measured=True))


# Cirq


def _cirq_circuit(*, measured: bool) -> Any:
    import cirq

    line = cirq.LineQubit.range(QUBITS)
    circuit = cirq.Circuit()
    for _ in range(LAYERS):
        circuit.append(cirq.ry(0.3).on_each(line))
        circuit.append(cirq.CNOT(line[number], line[number + 1]) for number in range(QUBITS - 1))
    if measured:
        circuit.append(cirq.measure(*line, key="m"))
    return circuit


def _cirq_run(tracked: Tracked) -> Call:
    import cirq

    return partial(tracked(cirq.Simulator()).run, _cirq_circuit(measured=True), repetitions=SHOTS)


def _cirq_simulate(tracked: Tracked) -> Call:
    import cirq

    return partial(tracked(cirq.Simulator()).simulate, _cirq_circuit(measured=False))


# Braket


def _braket(tracked: Tracked) -> Call:
    from braket.circuits import Circuit
    from braket.devices import LocalSimulator

    circuit = Circuit()
    for _ in range(LAYERS):
        for qubit in range(QUBITS):
            circuit.ry(qubit, 0.3)
        for qubit in range(QUBITS - 1):
            circuit.cnot(qubit, qubit + 1)
    simulator = tracked(LocalSimulator())
    return lambda: simulator.run(circuit, shots=SHOTS).result()


_CASES = (
    Case("PennyLane default.qubit, exact", "pennylane", partial(_forward, shots=None)),
    Case("PennyLane default.qubit, shots", "pennylane", partial(_forward, shots=SHOTS)),
    Case(
        "PennyLane lightning.qubit, adjoint gradient",
        "pennylane",
        partial(_gradient, device="lightning.qubit", diff_method="adjoint"),
    ),
    Case(
        "PennyLane default.qubit, parameter-shift gradient",
        "pennylane",
        partial(_gradient, device="default.qubit", diff_method="parameter-shift"),
    ),
    Case("PennyLane optimizer, lightning.qubit, adjoint", "pennylane", _optimizer),
    Case("Qiskit StatevectorSampler", "qiskit", _sampler),
    Case("Qiskit StatevectorEstimator", "qiskit", _estimator),
    Case("Qiskit AerSimulator", "qiskit", _aer),
    Case("Qiskit transpiler, level 1", "qiskit", _transpiler),
    Case("Cirq Simulator.run", "cirq", _cirq_run),
    Case("Cirq Simulator.simulate", "cirq", _cirq_simulate),
    Case("Braket LocalSimulator", "braket", _braket),
)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # devqubit has Braket warn of a deprecated format
    logging.disable()  # and says that an adjoint gradient left its run empty
    print(json.dumps(_row(_CASES[int(sys.argv[1])])))
