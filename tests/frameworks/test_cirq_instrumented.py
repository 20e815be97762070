"""Cirq, instrumented: every circuit that a sampler or simulator executes is counted once, and nothing else changes."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import cirq
import duet
import numpy as np
import pytest
import sympy

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.activity import Activity

NewMonitor = Callable[..., QuantumMonitor]

QUBITS = cirq.LineQubit.range(4)
ANGLE = sympy.Symbol("angle")
STATE = cirq.Circuit(
    cirq.H.on_each(*QUBITS),
    (cirq.CX(a, b) for a, b in pairwise(QUBITS)),
    cirq.ry(ANGLE).on_each(*QUBITS),
)
CIRCUIT = STATE + cirq.measure(*QUBITS, key="m")
FACTS = {"depth": 5, "two_qubit_depth": 3, "gates": 11, "two_qubit_gates": 3, "qubits": 4}
THREE = [{"angle": 0.1}, {"angle": 0.2}, {"angle": 0.3}]
Z = cirq.Z(QUBITS[0])


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> Iterator[QuantumMonitor]:
    """A monitor whose run is active, while Cirq is instrumented."""
    instrument("cirq")
    yield new_monitor().start_run("a")
    uninstrument()


def activities(monitor: QuantumMonitor) -> dict[str, Activity]:
    run = monitor.active_run
    assert run is not None
    return run.circuits


def counted(monitor: QuantumMonitor) -> dict[str, tuple[int, int | None]]:
    """Successful executions, and shots, by backend."""
    return {name: (done.executions["success"], done.shots) for name, done in activities(monitor).items()}


@pytest.mark.parametrize(
    ("execute", "executions", "shots"),
    [
        (lambda s: s.run(CIRCUIT, THREE[0], repetitions=10), 1, 10),
        (lambda s: s.run_sweep(CIRCUIT, THREE, repetitions=10), 3, 30),
        (lambda s: s.run_sweep(CIRCUIT, params=cirq.Linspace("angle", 0, 1, 4), repetitions=10), 4, 40),
        (lambda s: list(s.run_sweep_iter(CIRCUIT, THREE, 10)), 3, 30),
        (lambda s: s.run_batch([CIRCUIT, CIRCUIT], [THREE, THREE[0]], [10, 20]), 4, 50),
        (lambda s: duet.run(s.run_async, CIRCUIT, THREE[0], 7), 1, 7),
        (lambda s: duet.run(s.run_batch_async, [CIRCUIT, CIRCUIT], THREE[:2], 5), 2, 10),
        (lambda s: s.sample(CIRCUIT, repetitions=3, params=THREE), 3, 9),
        (lambda s: s.simulate(CIRCUIT, THREE[0]), 1, None),
        (lambda s: s.simulate_sweep(CIRCUIT, THREE), 3, None),
        (lambda s: list(s.simulate_sweep_iter(CIRCUIT, THREE)), 3, None),
        (lambda s: list(s.simulate_moment_steps(CIRCUIT, THREE[0])), 1, None),
        (lambda s: s.compute_amplitudes(STATE, [0, 1], THREE[0]), 1, None),
        (lambda s: s.compute_amplitudes_sweep(STATE, [0, 1], THREE), 3, None),
        (lambda s: s.sample_from_amplitudes(STATE, THREE[0], seed=1, repetitions=5), 1, 5),
        (lambda s: s.simulate_expectation_values(STATE, Z, THREE[0]), 1, None),
        (lambda s: s.simulate_expectation_values_sweep(STATE, [Z], THREE), 3, None),
        (lambda s: s.sample_expectation_values(STATE, Z, num_samples=9, params=THREE), 3, 27),
        (lambda s: cirq.PauliSumCollector(bound(STATE), Z + cirq.X(QUBITS[1]), samples_per_term=8).collect(s), 2, 16),
    ],
)
def test_each_circuit_is_counted_once(
    monitor: QuantumMonitor, execute: Callable[[Any], Any], executions: int, shots: int | None
) -> None:
    execute(cirq.Simulator())
    assert counted(monitor) == {"cirq.Simulator": (executions, shots)}
    done = activities(monitor)["cirq.Simulator"]
    assert done.execution_time.count == executions
    assert done.latest["two_qubit_gates"] == 3


def bound(circuit: cirq.Circuit) -> cirq.Circuit:
    return cirq.resolve_parameters(circuit, THREE[0])


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        (cirq.DensityMatrixSimulator(noise=cirq.depolarize(0.01)), "cirq.DensityMatrixSimulator"),
        (cirq.ZerosSampler(), "cirq.ZerosSampler"),
        (cirq.CliffordSimulator(), "cirq.CliffordSimulator"),
        (cirq.StabilizerSampler(), "cirq.StabilizerSampler"),
        (cirq.ClassicalStateSimulator(), "cirq.ClassicalStateSimulator"),
    ],
)
def test_every_sampler_of_cirq_is_counted(monitor: QuantumMonitor, sampler: cirq.Sampler, name: str) -> None:
    sampler.run(cirq.Circuit(cirq.X(QUBITS[0]), cirq.measure(QUBITS[0])), repetitions=6)
    assert counted(monitor) == {name: (1, 6)}


def test_a_simulator_that_counts_by_itself_what_others_leave_to_their_iterator_is_counted_once(
    monitor: QuantumMonitor,
) -> None:
    cirq.DensityMatrixSimulator().simulate_expectation_values_sweep(STATE, [Z], THREE)
    assert counted(monitor) == {"cirq.DensityMatrixSimulator": (3, None)}


def test_facts_are_those_of_the_circuit_with_its_symbols(monitor: QuantumMonitor) -> None:
    cirq.Simulator().run_sweep(CIRCUIT, THREE)
    assert activities(monitor)["cirq.Simulator"].latest == FACTS


class Remote(cirq.Sampler):  # type: ignore[misc]  # untyped here
    """A sampler of a user's that is asynchronous by nature."""

    processor_id = "willow"

    def __init__(self) -> None:
        self.waiting = 0
        self.at_once = 0

    async def run_sweep_async(self, program: Any, params: Any, repetitions: int = 1) -> Any:
        self.waiting += 1
        self.at_once = max(self.at_once, self.waiting)
        await duet.sleep(0.001)
        self.waiting -= 1
        return cirq.Simulator().run_sweep(program, params, repetitions)


def test_asynchronous_circuits_that_wait_at_the_same_time_are_all_counted(monitor: QuantumMonitor) -> None:
    sampler = Remote()
    duet.run(sampler.run_batch_async, [CIRCUIT] * 3, [THREE, *THREE[:2]], 4)
    assert sampler.at_once == 3
    assert counted(monitor) == {"willow": (5, 20)}
    sampler.run_sweep(CIRCUIT, THREE, repetitions=2)
    assert counted(monitor) == {"willow": (8, 26)}


def test_an_asynchronous_circuit_that_fails_is_counted_as_failed(monitor: QuantumMonitor) -> None:
    with pytest.raises(ValueError, match="symbols"):
        duet.run(Remote().run_async, CIRCUIT)
    assert activities(monitor)["willow"].executions["failed"] == 1


def test_a_coroutine_function_stays_one(monitor: QuantumMonitor) -> None:
    assert inspect.iscoroutinefunction(Remote().run_sweep_async)
    assert monitor.is_running


def test_a_sampler_that_sends_a_batch_in_one_job_is_counted_once_a_circuit(monitor: QuantumMonitor) -> None:
    class OneJob(cirq.SimulatesSamples):  # type: ignore[misc]
        def _run(self, circuit: Any, param_resolver: Any, repetitions: int) -> Any:
            raise NotImplementedError

        def run_batch(self, programs: Any, params_list: Any = None, repetitions: Any = 1) -> Any:
            return cirq.Simulator().run_batch(programs, params_list, repetitions)

    OneJob().run_batch([CIRCUIT, CIRCUIT], params_list=[THREE, THREE[:1]], repetitions=[2, 3])
    assert counted(monitor) == {"cirq.OneJob": (4, 9)}


def test_parameters_that_can_be_gone_through_only_once_reach_the_sampler(monitor: QuantumMonitor) -> None:
    class Own(cirq.Sampler):  # type: ignore[misc]
        def run_sweep(self, program: Any, params: Any, repetitions: int = 1) -> Any:
            return cirq.Simulator().run_sweep(program, params, repetitions)

    assert len(Own().run_sweep(CIRCUIT, iter(THREE), 2)) == 3
    assert len(Own().run_sweep(CIRCUIT, params=iter(THREE), repetitions=2)) == 3
    assert len(cirq.Simulator().run_sweep(CIRCUIT, iter(THREE), 2)) == 3
    assert counted(monitor) == {"cirq.Own": (6, 12), "cirq.Simulator": (3, 6)}


def test_of_a_generator_abandoned_half_way_what_was_made_is_counted(monitor: QuantumMonitor) -> None:
    results = cirq.Simulator().simulate_sweep_iter(CIRCUIT, THREE)
    assert counted(monitor) == {}
    next(results)
    next(results)
    del results
    assert counted(monitor) == {"cirq.Simulator": (2, None)}


def test_a_circuit_that_was_not_stepped_through_to_its_end_is_not_counted(monitor: QuantumMonitor) -> None:
    steps = cirq.Simulator().simulate_moment_steps(bound(CIRCUIT))
    next(steps)
    del steps
    assert counted(monitor) == {}
    cirq.Simulator().run(bound(CIRCUIT))  # and the thread is inside of nothing
    assert counted(monitor) == {"cirq.Simulator": (1, 1)}


def test_circuits_executed_between_the_results_of_a_generator_count_by_themselves(monitor: QuantumMonitor) -> None:
    for _ in cirq.Simulator().simulate_sweep_iter(CIRCUIT, THREE):
        cirq.DensityMatrixSimulator().simulate(bound(STATE))
    assert counted(monitor) == {"cirq.Simulator": (3, None), "cirq.DensityMatrixSimulator": (3, None)}


def test_of_a_sweep_that_fails_half_way_one_circuit_has_failed(monitor: QuantumMonitor) -> None:
    with pytest.raises(ValueError, match="symbols"):
        cirq.Simulator().run_sweep(CIRCUIT, [THREE[0], {"another": 1.0}, THREE[1]], repetitions=5)
    done = activities(monitor)["cirq.Simulator"]
    assert (done.executions["success"], done.executions["failed"], done.shots) == (1, 1, 5)


def test_exceptions_are_those_of_cirq(monitor: QuantumMonitor) -> None:
    with pytest.raises(TypeError, match=r"run_sweep\(\) missing 2 required positional arguments"):
        cirq.Simulator().run_sweep()
    with pytest.raises(ValueError, match="no measurements"):
        cirq.Simulator().run(STATE)
    assert monitor.is_running


def test_results_are_what_they_would_have_been(monitor: QuantumMonitor) -> None:
    counted_run = cirq.Simulator(seed=5).run_sweep(CIRCUIT, THREE, 50)
    state = cirq.Simulator().simulate(STATE, THREE[0]).final_state_vector
    uninstrument()
    plain = cirq.Simulator(seed=5).run_sweep(CIRCUIT, THREE, 50)
    assert counted_run == plain
    assert np.array_equal(state, cirq.Simulator().simulate(STATE, THREE[0]).final_state_vector)
    assert counted(monitor)["cirq.Simulator"] == (4, 150)


def test_all_of_cirq_is_given_back_as_it_was() -> None:
    bases = (cirq.Sampler, *cirq.Simulator.__mro__, cirq.DensityMatrixSimulator, cirq.ZerosSampler)
    before = [dict(vars(base)) for base in bases]
    instrument("cirq")
    assert [dict(vars(base)) for base in bases] != before
    uninstrument()
    for base, then in zip(bases, before, strict=True):
        now = dict(vars(base))
        assert {name for name in now if now[name] is not then.get(name)} - {"__abstractmethods__", "_abc_impl"} == set()


def test_simulators_can_be_copied_and_sent_to_other_processes(monitor: QuantumMonitor) -> None:
    simulator = monitor.watch(cirq.Simulator(seed=1))
    for another in (copy.deepcopy(simulator), pickle.loads(pickle.dumps(simulator))):  # noqa: S301 - our own
        another.run(bound(CIRCUIT), repetitions=3)
    assert counted(monitor) == {"cirq.Simulator": (2, 6)}


def test_each_thread_counts_its_own(monitor: QuantumMonitor) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(cirq.Simulator().run, bound(CIRCUIT), None, 2) for _ in range(20)]:
            done.result()
    assert counted(monitor) == {"cirq.Simulator": (20, 40)}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_executes_and_counts_nothing(monitor: QuantumMonitor) -> None:
    child = os.fork()
    if not child:
        try:
            cirq.Simulator().run(bound(CIRCUIT), repetitions=2)
        except BaseException:  # noqa: BLE001 - nothing of the test's may run in here
            os._exit(2)
        os._exit(1 if counted(monitor) else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counted(monitor) == {}


def test_only_a_watched_simulator_counts(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    watched = monitor.watch(cirq.Simulator())
    cirq.Simulator().run(bound(CIRCUIT))
    assert counted(monitor) == {}
    watched.run_sweep(CIRCUIT, THREE, repetitions=2)
    watched.simulate(STATE, THREE[0])
    list(watched.simulate_sweep_iter(STATE, THREE))
    duet.run(watched.run_async, CIRCUIT, THREE[0], 2)
    assert counted(monitor) == {"cirq.Simulator": (8, 8)}
    monitor.unwatch(watched)
    watched.run(bound(CIRCUIT))
    assert counted(monitor) == {"cirq.Simulator": (8, 8)}
    assert not set(vars(watched)) & set(dir(cirq.Sampler))
