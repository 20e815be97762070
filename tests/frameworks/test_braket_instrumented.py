"""Braket's local simulators, instrumented: every circuit is counted once, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from braket.ahs import AnalogHamiltonianSimulation, AtomArrangement, DrivingField
from braket.circuits import Circuit, FreeParameter, Observable
from braket.circuits.noise_model import GateCriteria, NoiseModel
from braket.circuits.noises import Depolarizing
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program
from braket.program_sets import ProgramSet
from braket.timings.time_series import TimeSeries

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.activity import Activity

NewMonitor = Callable[..., QuantumMonitor]

BELL = Circuit().h(0).cnot(0, 1)
TURN = Circuit().rx(0, FreeParameter("theta")).cnot(0, 1)
FACTS = {"depth": 2, "two_qubit_depth": 1, "gates": 2, "two_qubit_gates": 1, "qubits": 2}


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> Iterator[QuantumMonitor]:
    """A monitor whose run is active, while Braket is instrumented."""
    instrument("braket")
    yield new_monitor().start_run("a")
    uninstrument()


def activities(monitor: QuantumMonitor) -> dict[str, Activity]:
    run = monitor.active_run
    assert run is not None
    return run.circuits


def counted(monitor: QuantumMonitor) -> dict[str, tuple[int, int | None]]:
    """Successful executions, and shots, by backend."""
    return {name: (done.executions["success"], done.shots) for name, done in activities(monitor).items()}


def test_a_run_is_counted_with_its_facts_shots_and_time(monitor: QuantumMonitor) -> None:
    task = LocalSimulator().run(BELL, shots=10)
    assert sum(task.result().measurement_counts.values()) == 10
    assert counted(monitor) == {"StateVectorSimulator": (1, 10)}
    done = activities(monitor)["StateVectorSimulator"]
    assert done.latest == FACTS
    assert done.execution_time.count == 1
    assert done.costs == {}


@pytest.mark.parametrize("shots", [0, None])
def test_an_exact_simulation_takes_no_shots(monitor: QuantumMonitor, shots: int | None) -> None:
    LocalSimulator().run(BELL.copy().expectation(Observable.Z(), 0), shots=shots)
    assert counted(monitor) == {"StateVectorSimulator": (1, None)}


@pytest.mark.parametrize(
    ("arguments", "options", "executions"),
    [
        (([BELL, BELL, BELL],), {}, 3),
        ((BELL,), {}, 1),
        ((TURN,), {"inputs": [{"theta": 0.1}, {"theta": 0.2}]}, 2),
        (([TURN, TURN],), {"inputs": {"theta": 0.1}}, 2),
    ],
)
def test_a_batch_counts_each_circuit(
    monitor: QuantumMonitor, arguments: tuple[Any, ...], options: dict[str, Any], executions: int
) -> None:
    batch = LocalSimulator().run_batch(*arguments, shots=5, **options)
    assert len(batch.results()) == executions
    assert counted(monitor) == {"StateVectorSimulator": (executions, 5 * executions)}


def test_circuits_that_can_be_gone_through_only_once_reach_the_simulator(monitor: QuantumMonitor) -> None:
    assert len(LocalSimulator().run_batch(iter([BELL, BELL]), shots=5).results()) == 2
    assert len(LocalSimulator().run_batch(task_specifications=iter([BELL]), shots=5).results()) == 1
    assert counted(monitor) == {"StateVectorSimulator": (3, 15)}


def test_noise_is_simulated_by_a_backend_of_its_own(monitor: QuantumMonitor) -> None:
    noise = NoiseModel().add_noise(Depolarizing(0.1), GateCriteria())
    LocalSimulator("braket_dm", noise_model=noise).run(BELL, shots=4)
    assert counted(monitor) == {"DensityMatrixSimulator": (1, 4)}


def test_openqasm_is_counted(monitor: QuantumMonitor) -> None:
    LocalSimulator().run(Program(source="OPENQASM 3; qubit[2] q; h q[0]; cnot q[0], q[1];"), shots=4)
    assert counted(monitor) == {"StateVectorSimulator": (1, 4)}


def test_a_set_of_programs_is_one_task_with_all_their_shots(monitor: QuantumMonitor) -> None:
    LocalSimulator().run(ProgramSet([BELL, BELL], shots_per_executable=6))
    assert counted(monitor) == {"StateVectorSimulator": (1, 12)}
    assert activities(monitor)["StateVectorSimulator"].latest == {}


def test_an_analog_program_has_no_gates(monitor: QuantumMonitor) -> None:
    steady = TimeSeries().put(0.0, 0.0).put(1e-6, 0.0)
    program = AnalogHamiltonianSimulation(
        register=AtomArrangement().add((0.0, 0.0)), hamiltonian=DrivingField(steady, steady, steady)
    )
    LocalSimulator("braket_ahs").run(program, shots=2, steps=2)
    assert counted(monitor) == {"RydbergAtomSimulator": (1, 2)}
    assert activities(monitor)["RydbergAtomSimulator"].latest == {}


def test_a_circuit_that_fails_is_counted_as_failed(monitor: QuantumMonitor) -> None:
    with pytest.raises(ValueError, match="theta"):
        LocalSimulator().run_batch([TURN, TURN], shots=5)
    done = activities(monitor)["StateVectorSimulator"]
    assert (done.executions["success"], done.executions["failed"], done.shots) == (0, 2, None)


def test_all_of_the_simulator_is_given_back_as_it_was() -> None:
    before = dict(vars(LocalSimulator))
    instrument("braket")
    assert dict(vars(LocalSimulator)) != before
    uninstrument()
    assert dict(vars(LocalSimulator)) == before


def test_only_a_watched_simulator_counts(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    watched = monitor.watch(LocalSimulator())
    LocalSimulator().run(BELL, shots=1)
    assert counted(monitor) == {}
    watched.run(BELL, shots=2)
    watched.run_batch([BELL, BELL], shots=2)
    assert counted(monitor) == {"StateVectorSimulator": (3, 6)}
    monitor.unwatch(watched)
    watched.run(BELL, shots=2)
    assert counted(monitor) == {"StateVectorSimulator": (3, 6)}
