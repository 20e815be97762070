"""Instrumentation on bad days: runs that end meanwhile, kills, forks, reloads, imports by other threads.

Cirq stands for all frameworks where it does not matter which: it is the quickest to import.
"""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import cirq
import numpy as np
import pytest

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.faults import FAULTS
from quantum_monitor.process import OPEN
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

NewMonitor = Callable[..., QuantumMonitor]
RunProgram = Callable[..., str]
StartProgram = Callable[..., "Popen[str]"]

QUBIT = cirq.LineQubit(0)
CIRCUIT = cirq.Circuit(cirq.X(QUBIT), cirq.measure(QUBIT, key="m"))


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Monitors of other tests' modules are out of the way: executions would go to them."""
    others = OPEN.copy()
    OPEN.clear()
    yield
    OPEN[:] = [*others, *OPEN]


@pytest.fixture
def instrumented() -> Iterator[None]:
    instrument("cirq")
    yield
    uninstrument()


def executed(monitor: QuantumMonitor) -> dict[str, int]:
    """Successful executions of the last run, by backend."""
    run = monitor._last_run
    return {} if run is None else {name: done.executions["success"] for name, done in run.circuits.items()}


def stored(storage: Path) -> int:
    runs = [StoredRun(run) for run in find_runs(storage)]
    return sum(record.kind == "circuit" for run in runs for _, record in run.records())


def dropped() -> int:
    return FAULTS.drops["executions", "run_ended"] + FAULTS.drops["store", "closed"]


# Runs that end


def test_executions_that_end_with_their_run_are_stored_or_counted_as_dropped(new_monitor: NewMonitor) -> None:
    monitor, before = new_monitor(), dropped()
    stop, told = threading.Event(), [0] * 3

    def execute(thread: int) -> None:
        while not stop.wait(0.0001):
            run = monitor.active_run
            if run is not None:
                run.execution_soon({}, backend="a", status="success", currency="USD", cost_kind="estimated")
                told[thread] += 1

    threads = [threading.Thread(target=execute, args=(number,), daemon=True) for number in range(len(told))]
    for thread in threads:
        thread.start()
    for _ in range(15):
        monitor.start_run()
        stop.wait(0.01)
        monitor.end_run()
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert min(told) > 0
    assert stored(monitor.storage_path) + dropped() - before == sum(told)


ENDS_IN_A_HANDLER = """
import faulthandler, pathlib, random, signal, sys
import quantum_monitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks.executions import Batch, observed
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

faulthandler.dump_traceback_later(40, exit=True)
monitor = quantum_monitor.QuantumMonitor("h2", metrics_port=0, storage_path=sys.argv[1], enable_mlflow=False)
monitor.start_run()
random.seed(5)
handled = nested = 0

def end(signum, frame):
    global handled, nested
    handled += 1
    nested += "quantum_monitor" in frame.f_code.co_filename
    monitor.end_run("stopped")
    monitor.start_run()
    if handled < 60:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.01))

signal.signal(signal.SIGALRM, end)
signal.setitimer(signal.ITIMER_REAL, 0.01)
batch, calls = Batch("machine", ({"gates": [{"name": "x", "qubits": [0]}]},), 10), 0
while handled < 60:
    assert observed(lambda: batch, lambda: sum(range(1000))) == 499500
    calls += 1
monitor.end_run()
kept = sum(record.kind == "circuit" for run in find_runs(sys.argv[1]) for _, record in StoredRun(run).records())
refused = FAULTS.drops["executions", "run_ended"] + FAULTS.drops["store", "closed"]
print(nested, calls - kept - refused, FAULTS.errors["instrumentation"])
"""


def test_a_run_ended_by_a_signal_handler_in_the_middle_of_an_execution_deadlocks_and_loses_nothing(
    tmp_path: Path, run_program: RunProgram
) -> None:
    nested, missing, errors = map(int, run_program(ENDS_IN_A_HANDLER, tmp_path / "runs").split())
    assert nested > 10  # the handler did come in the middle of ours
    assert (missing, errors) == (0, 0)


EXECUTES_UNTIL_KILLED = """
import mmap, struct, sys, time
import cirq
import quantum_monitor

monitor = quantum_monitor.QuantumMonitor("h2", metrics_port=0, storage_path=sys.argv[1], enable_mlflow=False)
monitor.start_run("a")
quantum_monitor.instrument()
with open(sys.argv[2], "r+b") as file:
    done = mmap.mmap(file.fileno(), 16)
qubit, simulator, number = cirq.LineQubit(0), cirq.Simulator(), 0
circuit = cirq.Circuit(cirq.X(qubit), cirq.measure(qubit))
while True:
    simulator.run(circuit)
    number += 1
    done[:] = struct.pack("<qd", number, time.time())
    if number == 300:
        print("executing", flush=True)
"""


def test_a_process_that_is_killed_has_stored_all_but_the_executions_of_the_last_moment(
    tmp_path: Path, start_program: StartProgram
) -> None:
    progress = tmp_path / "progress"
    progress.write_bytes(bytes(16))
    process = start_program(EXECUTES_UNTIL_KILLED, tmp_path / "runs", progress)
    assert process.stdout is not None
    assert process.stdout.readline() == "executing\n"
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    number, last = struct.unpack("<qd", progress.read_bytes())
    (directory,) = find_runs(tmp_path / "runs")
    records = [record for _, record in StoredRun(directory).records() if record.kind == "circuit"]
    assert 0 < len(records) <= number + 1
    assert last - records[-1].time < 0.5  # 0.1 s on a machine that does nothing else


def test_alerts_are_judged_by_all_that_was_executed_when_somebody_asks(
    new_monitor: NewMonitor, instrumented: None
) -> None:
    class Broken(cirq.Sampler):  # type: ignore[misc]
        def run_sweep(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no beam")

    monitor = new_monitor().start_run("a")
    for _ in range(10):
        with pytest.raises(RuntimeError, match="no beam"):
            Broken().run(CIRCUIT)
    run = monitor.active_run
    assert run is not None
    assert [alert["type"] for alert in run.standing_alerts()] == ["circuit_failures"]


# Other processes


def _measure(_: int) -> tuple[int, int]:
    return int(cirq.Simulator().run(CIRCUIT).measurements["m"][0][0]), len(OPEN[0].active_run.circuits)  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_that_are_forked_while_executions_wait_write_and_double_nothing(
    new_monitor: NewMonitor, instrumented: None
) -> None:
    monitor = new_monitor().start_run("a")
    for _ in range(3):
        _measure(0)
        cirq.Simulator().run(CIRCUIT)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        cirq.Simulator().run(CIRCUIT)
        assert [value for value, _ in pool.map(_measure, range(8))] == [1] * 8
    monitor.end_run()
    assert executed(monitor) == {"cirq.Simulator": 7}
    assert stored(monitor.storage_path) == 7


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_is_forked_while_another_thread_instruments_can_instrument() -> None:
    from quantum_monitor.frameworks import _INSTALLED

    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with _INSTALLED._lock:
            held.set()
            over.wait(20)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(20)
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            instrument("cirq")
            os._exit(7)
        finally:
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    over.set()
    thread.join(20)
    assert status == 7


# Imports


@pytest.mark.usefixtures("instrumented")
def test_a_framework_that_is_loaded_anew_is_counted_once_and_given_back(new_monitor: NewMonitor) -> None:
    uninstrument()
    before = cirq.SimulatesFinalState.simulate_sweep
    instrument("cirq")
    monitor = new_monitor().start_run("a")
    importlib.reload(cirq)
    cirq.Simulator().simulate(CIRCUIT)
    assert executed(monitor) == {"cirq.Simulator": 1}
    uninstrument()
    cirq.Simulator().simulate(CIRCUIT)
    assert executed(monitor) == {"cirq.Simulator": 1}
    assert cirq.SimulatesFinalState.simulate_sweep is before


IMPORTED_BY_ANOTHER_THREAD = """
import sys, threading, time
import quantum_monitor

monitor = quantum_monitor.QuantumMonitor("h2", metrics_port=None, storage_path=sys.argv[1], enable_mlflow=False)
thread = threading.Thread(target=__import__, args=("cirq",), daemon=True)
thread.start()
while "cirq" not in sys.modules:
    time.sleep(0.0005)
threads = [threading.Thread(target=quantum_monitor.instrument, daemon=True) for _ in range(3)]
for each in threads:
    each.start()
for each in [thread, *threads]:
    each.join(30)
    assert not each.is_alive()
import cirq
qubit = cirq.LineQubit(0)
cirq.Simulator().run(cirq.Circuit(cirq.X(qubit), cirq.measure(qubit)))
print({name: done.executions["success"] for name, done in monitor.active_run.circuits.items()})
"""


def test_a_framework_that_another_thread_is_importing_is_instrumented(tmp_path: Path, run_program: RunProgram) -> None:
    assert run_program(IMPORTED_BY_ANOTHER_THREAD, tmp_path) == "{'cirq.Simulator': 1}\n"


IMPORTED_LATE = """
import importlib.util, sys
import quantum_monitor

class Another:  # as those of other tools: asks all finders again
    asked = False
    def find_spec(self, name, path=None, target=None):
        if name != "cirq" or self.asked:
            return None
        self.asked = True
        return importlib.util.find_spec(name)

monitor = quantum_monitor.QuantumMonitor("h2", metrics_port=None, storage_path=sys.argv[1], enable_mlflow=False)
quantum_monitor.instrument()
sys.meta_path.insert(1, Another())
spec = importlib.util.find_spec("cirq")
spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules["cirq"] = cirq = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cirq)
assert "cirq.sim" not in sys.modules
qubit = cirq.LineQubit(0)
cirq.Simulator().run(cirq.Circuit(cirq.X(qubit), cirq.measure(qubit)))
print({name: done.executions["success"] for name, done in monitor.active_run.circuits.items()})
"""


def test_a_framework_that_is_loaded_lazily_behind_other_finders_is_instrumented(
    tmp_path: Path, run_program: RunProgram
) -> None:
    assert run_program(IMPORTED_LATE, tmp_path) == "{'cirq.Simulator': 1}\n"


# Monitors that are closed


def test_a_monitor_that_was_named_and_is_closed_counts_nothing_and_nobody_takes_its_place(
    new_monitor: NewMonitor,
) -> None:
    named, other = new_monitor("named").start_run("a"), new_monitor("other").start_run("b")
    instrument("cirq", monitor=named)
    try:
        cirq.Simulator().run(CIRCUIT)
        named.close()
        cirq.Simulator().run(CIRCUIT)
        assert (executed(named), executed(other)) == ({"cirq.Simulator": 1}, {})
        instrument("cirq")
        cirq.Simulator().run(CIRCUIT)
        assert executed(other) == {"cirq.Simulator": 1}
    finally:
        uninstrument()


@pytest.mark.usefixtures("instrumented")
def test_after_the_programs_own_monitor_was_closed_none_is_made(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTUM_MONITOR_METRICS_PORT", "0")
    monitor = new_monitor()
    cirq.Simulator().run(CIRCUIT)
    monitor.close()
    cirq.Simulator().run(CIRCUIT)
    assert OPEN == []
    assert executed(monitor) == {"cirq.Simulator": 1}


# Objects that are watched


def test_a_copy_of_a_watched_object_runs_by_itself(new_monitor: NewMonitor) -> None:
    import pennylane as qml
    from pennylane.tape import QuantumScript
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator

    monitor = new_monitor().start_run("a")
    simulator = monitor.watch(cirq.Simulator(seed=1))
    device = monitor.watch(qml.device("default.qubit", wires=1, seed=1))
    backend = monitor.watch(AerSimulator())
    twins = copy.copy(simulator), copy.copy(device), copy.copy(backend)
    twins[0]._prng = np.random.RandomState(5)
    twins[2].set_options(shots=7)

    coin = cirq.Circuit(cirq.H(QUBIT), cirq.measure(QUBIT, key="m"))
    expected = cirq.Simulator(seed=np.random.RandomState(5)).run(coin, repetitions=20)
    assert np.array_equal(twins[0].run(coin, repetitions=20).measurements["m"], expected.measurements["m"])
    script = QuantumScript([qml.Hadamard(0)], [qml.counts()], shots=10)
    with qml.Tracker(twins[1]) as tracker:
        twins[1].execute([script], qml.devices.ExecutionConfig())
    assert tracker.totals["executions"] == 1
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    assert sum(twins[2].run(circuit).result().get_counts().values()) == 7
    assert executed(monitor) == {}

    simulator.run(coin)
    device.execute([script], qml.devices.ExecutionConfig())
    backend.run(circuit, shots=9).result()
    assert executed(monitor) == {"cirq.Simulator": 1, "default.qubit": 1, "aer_simulator": 1}
    for thing in (simulator, device, backend):
        monitor.unwatch(thing)
    simulator.run(coin)
    assert executed(monitor)["cirq.Simulator"] == 1


def test_a_generator_that_is_left_to_another_thread_counts_there(new_monitor: NewMonitor, instrumented: None) -> None:
    monitor = new_monitor().start_run("a")
    results = cirq.Simulator().simulate_sweep_iter(CIRCUIT, [{}, {}, {}])
    next(results)
    thread = threading.Thread(target=lambda: next(results))
    thread.start()
    thread.join(20)
    cirq.Simulator().run(CIRCUIT)
    results.close()
    assert executed(monitor) == {"cirq.Simulator": 3}
