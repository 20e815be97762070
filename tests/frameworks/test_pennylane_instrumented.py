"""PennyLane, instrumented: every circuit that a device executes is counted once, and nothing else changes."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp
from pennylane.devices import DefaultQubit, Device
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.tape import QuantumScript

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.activity import Activity

NewMonitor = Callable[..., QuantumMonitor]

WEIGHTS = pnp.array(np.random.default_rng(7).uniform(0, 2 * np.pi, (1, 3, 3)), requires_grad=True)
PARAMETERS = WEIGHTS.size


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> Iterator[QuantumMonitor]:
    """A monitor whose run is active, while PennyLane is instrumented."""
    instrument("pennylane")
    yield new_monitor().start_run("a")
    uninstrument()


def activity(monitor: QuantumMonitor, backend: str = "default.qubit") -> Activity:
    run = monitor._last_run
    assert run is not None
    return run.circuits[backend]


def executed(monitor: QuantumMonitor) -> dict[str, dict[str, int]]:
    """Executions by backend and status, without those that never happened."""
    run = monitor._last_run
    assert run is not None
    return {
        backend: {status: count for status, count in done.executions.items() if count}
        for backend, done in run.circuits.items()
    }


def layers(device: Any, **options: Any) -> Any:
    """A QNode on three qubits."""

    @qml.qnode(device, **options)
    def circuit(weights: Any) -> Any:
        qml.StronglyEntanglingLayers(weights, wires=range(3))
        return qml.expval(qml.Z(0))

    return circuit


def rotation(device: Any, **options: Any) -> Any:
    """A QNode on two qubits with one parameter."""

    @qml.qnode(device, **options)
    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    return circuit


# Counting


@pytest.mark.parametrize("name", ["default.qubit", "default.mixed", "lightning.qubit", "reference.qubit", "null.qubit"])
def test_every_device_counts_a_circuit_once_with_its_facts(monitor: QuantumMonitor, name: str) -> None:
    layers(qml.device(name, wires=3))(WEIGHTS)
    assert executed(monitor) == {name: {"success": 1}}
    facts = activity(monitor, name).latest
    assert facts["qubits"] == 3
    assert facts["two_qubit_gates"] == 3  # the template is expanded
    assert activity(monitor, name).execution_time.count == 1
    assert activity(monitor, name).shots is None


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("default.qubit", {"diff_method": "backprop"}, 1),
        ("default.qubit", {"diff_method": "parameter-shift"}, 2 * PARAMETERS + 1),
        ("default.qubit", {"diff_method": "finite-diff"}, 1 + 1 + PARAMETERS),
        ("default.qubit", {"diff_method": "spsa"}, 1 + 2),
        ("default.qubit", {"diff_method": "adjoint"}, 1),
        ("default.qubit", {"diff_method": "adjoint", "grad_on_execution": False}, 2),
        ("default.qubit", {"diff_method": "adjoint", "device_vjp": True}, 2),
        ("lightning.qubit", {"diff_method": "adjoint"}, 1),
        ("lightning.qubit", {"diff_method": "adjoint", "device_vjp": True}, 2),
        ("lightning.qubit", {"diff_method": "parameter-shift"}, 2 * PARAMETERS + 1),
    ],
)
def test_a_gradient_counts_the_circuits_that_it_takes(
    monitor: QuantumMonitor, name: str, options: dict[str, Any], count: int
) -> None:
    qml.grad(layers(qml.device(name, wires=3), **options))(WEIGHTS)
    assert executed(monitor) == {name: {"success": count}}


def test_a_legacy_device_counts_once(monitor: QuantumMonitor) -> None:
    @qml.qnode(qml.device("default.qutrit", wires=1))
    def circuit() -> Any:
        qml.TShift(0)
        return qml.probs(wires=0)

    assert isinstance(circuit.device, qml.devices.LegacyDeviceFacade)
    circuit()
    assert executed(monitor) == {"default.qutrit": {"success": 1}}


def test_shots_are_those_that_were_taken(monitor: QuantumMonitor) -> None:
    circuit = rotation(qml.device("default.qubit", wires=2))
    qml.set_shots(circuit, 100)(0.3)
    assert activity(monitor).shots == 100
    qml.set_shots(circuit, [10, (5, 2)])(0.3)
    assert activity(monitor).shots == 100 + 20
    qml.set_shots(circuit, 10)(np.array([0.1, 0.2, 0.3]))  # one circuit, thirty shots
    assert activity(monitor).shots == 100 + 20 + 30
    circuit(0.3)
    assert activity(monitor).shots == 100 + 20 + 30
    assert executed(monitor) == {"default.qubit": {"success": 4}}


@pytest.mark.parametrize("method", ["one-shot", "deferred", "tree-traversal"])
def test_a_measurement_within_a_circuit_makes_no_further_circuits(monitor: QuantumMonitor, method: str) -> None:
    @qml.set_shots(10)
    @qml.qnode(qml.device("default.qubit", wires=3), mcm_method=method)
    def circuit(x: float) -> Any:
        qml.RX(x, 0)
        qml.cond(qml.measure(0), qml.X)(1)
        return qml.expval(qml.Z(1))

    circuit(0.3)
    assert executed(monitor) == {"default.qubit": {"success": 1}}
    assert activity(monitor).shots == 10


def test_transforms_count_each_circuit_that_they_make(monitor: QuantumMonitor) -> None:
    inputs = pnp.array(np.random.default_rng(1).random((5, 2)), requires_grad=False)

    @qml.batch_input(argnum=0)
    @qml.qnode(qml.device("default.qubit", wires=2))
    def batched(inputs: Any, x: Any) -> Any:
        qml.AngleEmbedding(inputs, wires=range(2))
        qml.RX(x, 0)
        return qml.expval(qml.Z(0))

    @qml.transforms.split_non_commuting
    @qml.qnode(qml.device("lightning.qubit", wires=2))
    def split(x: float) -> Any:
        qml.RX(x, 0)
        return qml.expval(qml.Z(0)), qml.expval(qml.X(0)), qml.expval(qml.Y(0))

    batched(inputs, pnp.array(0.3))
    split(0.3)
    assert executed(monitor) == {"default.qubit": {"success": 5}, "lightning.qubit": {"success": 3}}


def test_threads_count_each_of_their_circuits(monitor: QuantumMonitor) -> None:
    def run(seed: int) -> float:
        return float(rotation(qml.device("default.qubit", wires=2))(seed / 10))

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(20)))
    assert results == pytest.approx([np.cos(seed / 10) for seed in range(20)])
    assert executed(monitor) == {"default.qubit": {"success": 20}}


def test_a_tracker_of_pennylane_tells_the_same_as_without(monitor: QuantumMonitor) -> None:
    circuit = layers(qml.device("default.qubit", wires=3), diff_method="parameter-shift")
    with qml.Tracker(circuit.device) as watched:
        qml.grad(circuit)(WEIGHTS)
    uninstrument()
    with qml.Tracker(circuit.device) as plain:
        qml.grad(circuit)(WEIGHTS)
    assert watched.totals == plain.totals
    assert executed(monitor) == {"default.qubit": {"success": plain.totals["simulations"]}}


# Nothing else changes


def test_results_are_the_device_s_own_and_so_are_exceptions(monitor: QuantumMonitor) -> None:
    result = (object(),)
    error = RuntimeError("the cryostat is warm")

    class Answering(Device):  # type: ignore[misc]  # a class without types
        def execute(self, circuits: Any, *_: Any) -> Any:
            if not circuits[0].operations:
                raise error
            return result

    device = Answering()
    good, bad = QuantumScript([qml.X(0)]), QuantumScript([])
    assert device.execute([good]) is result
    with pytest.raises(RuntimeError) as raised:
        device.execute([bad, bad])
    assert raised.value is error
    assert executed(monitor) == {"Answering": {"success": 1, "failed": 2}}


def test_a_generator_of_circuits_reaches_the_device_whole(monitor: QuantumMonitor) -> None:
    def tapes() -> Iterator[QuantumScript]:
        return (QuantumScript([qml.RX(x, 0)], [qml.expval(qml.Z(0))]) for x in (0.0, np.pi))

    device = qml.device("default.qubit")
    assert device.execute(tapes()) == pytest.approx((1.0, -1.0))
    assert device.execute(circuits=tapes()) == pytest.approx((1.0, -1.0))
    assert executed(monitor) == {"default.qubit": {"success": 4}}


def test_uninstrumenting_gives_back_the_very_functions() -> None:
    kinds = (DefaultQubit, Device, qml.devices.LegacyDeviceFacade, qml.AdamOptimizer, qml.GradientDescentOptimizer)
    before = [dict(vars(kind)) for kind in kinds]
    instrument("pennylane")
    instrument("pennylane")
    assert vars(DefaultQubit)["execute"] is not before[0]["execute"]
    assert vars(DefaultQubit)["execute"].__wrapped__ is before[0]["execute"]
    assert inspect.signature(DefaultQubit.execute) == inspect.signature(before[0]["execute"])
    uninstrument()
    for kind, names in zip(kinds, before, strict=True):
        assert {name for name in names if vars(kind)[name] is not names[name]} == set()
        assert vars(kind).keys() == names.keys()


def test_a_pennylane_that_has_changed_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = vars(DefaultQubit)["execute"]
    monkeypatch.delattr(qml.SPSAOptimizer, "apply_grad")
    instrument("pennylane")
    instrument("pennylane")
    uninstrument()
    assert vars(DefaultQubit)["execute"] is before
    assert caplog.text.count("is not instrumented") == 1
    assert "SPSAOptimizer.apply_grad is not a function any more" in caplog.text


def test_devices_and_qnodes_are_copied_as_before(monitor: QuantumMonitor) -> None:
    circuit = rotation(qml.device("default.qubit", wires=2))
    assert copy.deepcopy(circuit)(0.3) == pytest.approx(np.cos(0.3))
    assert copy.copy(circuit).device == circuit.device
    device = pickle.loads(pickle.dumps(qml.device("reference.qubit", wires=2)))  # noqa: S301 - our own bytes
    assert rotation(device)(0.3) == pytest.approx(np.cos(0.3))
    assert executed(monitor) == {"default.qubit": {"success": 1}, "reference.qubit": {"success": 1}}


# Classes of devices that come later


@pytest.mark.parametrize("decorate", [single_tape_support, simulator_tracking])
def test_a_decorated_device_that_comes_later_counts_once(monitor: QuantumMonitor, decorate: Any) -> None:
    @simulator_tracking
    @decorate
    @single_tape_support
    class Later(Device):  # type: ignore[misc]  # a class without types
        def execute(self, circuits: Any, *_: Any) -> Any:
            return tuple(0.0 for _ in circuits)

    @single_tape_support
    class LaterStill(Later):
        """Has its parent's method, decorated once more."""

    tape = QuantumScript([qml.X(0)], shots=5)
    with Later().tracker as tracker:
        assert Later().execute(tape) == 0.0
    assert tracker is not None
    assert LaterStill().execute([tape, tape]) == (0.0, 0.0)
    assert executed(monitor) == {"Later": {"success": 1}, "LaterStill": {"success": 2}}


def test_a_device_that_calls_its_parent_counts_once(monitor: QuantumMonitor) -> None:
    class Mine(DefaultQubit):  # type: ignore[misc]  # a class without types
        name = "mine.qubit"

        def execute(self, circuits: Any, execution_config: Any = None) -> Any:
            return super().execute(circuits, execution_config)

    rotation(Mine(wires=2))(0.3)
    assert executed(monitor) == {"mine.qubit": {"success": 1}}


def test_a_device_that_says_what_becomes_of_its_subclasses_keeps_its_word(monitor: QuantumMonitor) -> None:
    told = []

    class Base(Device):  # type: ignore[misc]  # a class without types
        def __init_subclass__(cls, kind: str = "", **options: Any) -> None:
            super().__init_subclass__(**options)
            told.append((cls.__name__, kind))

    class Special(Base, kind="special"):
        def execute(self, circuits: Any, *_: Any) -> Any:
            return tuple(0.0 for _ in circuits)

    Special().execute([QuantumScript([qml.X(0)])])
    assert told == [("Special", "special")]
    assert executed(monitor) == {"Special": {"success": 1}}


# Devices that are elsewhere


class _Away(Device):  # type: ignore[misc]  # a class without types
    """A device as plug-ins make them, that answers at once."""

    def __init__(self, name: str, **attributes: Any) -> None:
        super().__init__()
        self.short_name = name
        self.__dict__.update(attributes)

    def execute(self, circuits: Any, *_: Any) -> Any:
        return tuple(0.0 for _ in circuits)


class _Provider:
    """What a plug-in holds of the provider's own library."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def test_a_device_of_braket_is_called_as_braket_calls_it_and_has_its_price(monitor: QuantumMonitor) -> None:
    device = _Away("braket.aws.qubit", target_device=_Provider(_device=_Provider(name="Forte 1")))
    device.execute([QuantumScript([qml.X(0)], [qml.counts()], shots=100)])
    assert activity(monitor, "Forte 1").costs == {("USD", "estimated"): [pytest.approx(8.30), pytest.approx(8.30)]}


@pytest.mark.parametrize(("backend", "costs"), [("aer_simulator", set()), ("ibm_fez", {("USD", "estimated")})])
def test_a_device_of_qiskit_is_called_as_its_backend(monitor: QuantumMonitor, backend: str, costs: set[Any]) -> None:
    tape = QuantumScript([qml.X(0)], [qml.counts()], shots=100)
    _Away("qiskit.remote", backend=_Provider(name=backend)).execute([tape])
    assert executed(monitor) == {backend: {"success": 1}}
    assert set(activity(monitor, backend).costs) == costs


def test_a_device_elsewhere_without_a_price_says_so(monitor: QuantumMonitor, caplog: pytest.LogCaptureFixture) -> None:
    _Away("ionq.qpu").execute([QuantumScript([qml.X(0)], shots=100)])
    assert not activity(monitor, "ionq.qpu").costs
    assert "no price is known for the backend 'ionq.qpu'" in caplog.text
    _Away("my.device").execute([QuantumScript([qml.X(0)], shots=100)])
    assert "my.device" not in caplog.text


# One device only


def test_a_watched_qnode_counts_for_its_monitor_only(new_monitor: NewMonitor) -> None:
    mine, other = new_monitor("mine").start_run("a"), new_monitor("other").start_run("a")
    watched, unwatched = (rotation(qml.device("default.qubit", wires=2), diff_method="adjoint") for _ in range(2))
    assert mine.watch(watched) is watched
    mine.watch(watched)
    x = pnp.array(0.3, requires_grad=True)
    assert qml.grad(watched)(x) == qml.grad(unwatched)(x)
    copy.deepcopy(watched)(x)
    assert executed(mine) == {"default.qubit": {"success": 1}}
    assert executed(other) == {}
    mine.unwatch(watched)
    watched(x)
    assert executed(mine) == {"default.qubit": {"success": 1}}
    assert "execute" not in vars(watched.device)


def test_a_watched_device_is_not_counted_twice_where_all_are(monitor: QuantumMonitor) -> None:
    device = monitor.watch(qml.device("lightning.qubit", wires=2))
    rotation(device)(0.3)
    assert executed(monitor) == {"lightning.qubit": {"success": 1}}


# Other processes


def test_a_forked_child_executes_and_counts_nothing(monitor: QuantumMonitor) -> None:
    circuit = rotation(qml.device("default.qubit", wires=2))
    circuit(0.3)
    assert executed(monitor) == {"default.qubit": {"success": 1}}
    child = os.fork()
    if child == 0:
        status = 1
        try:
            right = np.isclose(circuit(0.4), np.cos(0.4)) and executed(monitor) == {"default.qubit": {"success": 1}}
            status = 0 if right else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert executed(monitor) == {"default.qubit": {"success": 1}}


def test_what_is_imported_after_instrumenting_is_counted() -> None:
    script = """
import quantum_monitor
quantum_monitor.instrument()
import pennylane as qml
monitor = quantum_monitor.QuantumMonitor(metrics_port=None)
with monitor.start_run("a"):
    for name in ("default.qubit", "lightning.qubit"):  # Lightning is loaded here
        @qml.qnode(qml.device(name, wires=2), diff_method="adjoint")
        def circuit(x):
            qml.RX(x, 0)
            return qml.expval(qml.Z(0))
        qml.grad(circuit)(qml.numpy.array(0.3, requires_grad=True))
    print({name: done.executions["success"] for name, done in monitor.active_run.circuits.items()})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'default.qubit': 1, 'lightning.qubit': 1}", done.stderr
