"""Qiskit without a line of the user's: what primitives, backends and the transpiler do is counted, once, as it was."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.exceptions import QiskitError
from qiskit.primitives import (
    BackendEstimatorV2,
    BackendSamplerV2,
    PrimitiveJob,
    StatevectorEstimator,
    StatevectorSampler,
)
from qiskit.providers import BackendV2, JobStatus, JobV1, Options
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.jobs import AerJob
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_aer.primitives import SamplerV2 as AerSampler

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.activity import Activity
from quantum_monitor.run import Run
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.server_process import eventually

NewMonitor = Callable[..., QuantumMonitor]

ANGLE = Parameter("angle")
OBSERVABLE = SparsePauliOp(["ZZ", "XX"], [1.0, 0.5])  # two bases of measurement
DEPTH = 3


def ansatz() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.ry(ANGLE, 1)
    return circuit


def measured(angle: float | None = None) -> QuantumCircuit:
    circuit = ansatz()
    circuit.measure_all()
    return circuit if angle is None else circuit.assign_parameters([angle])


def broken() -> QuantumCircuit:
    """A circuit that the statevector primitives refuse when they execute it."""
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> Iterator[QuantumMonitor]:
    """A monitor whose run is active, while Qiskit is instrumented."""
    instrument("qiskit")
    yield new_monitor(backend_poll_interval=0).start_run("a")
    uninstrument()


def run_of(monitor: QuantumMonitor) -> Run:
    run = monitor.active_run
    assert run is not None
    return run


def on(monitor: QuantumMonitor, backend: str) -> Activity:
    """What happened on the only backend that anything happened on."""
    circuits = run_of(monitor).circuits
    assert list(circuits) == [backend]
    return circuits[backend]


def counts(monitor: QuantumMonitor) -> dict[str, dict[str, int]]:
    """Executions by backend and status, without those that there are none of."""
    return {name: dict(+activity.executions) for name, activity in run_of(monitor).circuits.items()}


BACKEND = GenericBackendV2(2, seed=1)
SIMULATOR = AerSimulator(seed_simulator=1)

SAMPLERS = {
    "statevector_sampler": lambda: StatevectorSampler(seed=1),
    "generic_backend_2q": lambda: BackendSamplerV2(backend=BACKEND, options={"seed_simulator": 1}),
    "aer_simulator": lambda: AerSampler(seed=1),
}


@pytest.mark.parametrize("label", SAMPLERS)
def test_each_set_of_parameters_of_a_sampler_is_one_execution(monitor: QuantumMonitor, label: str) -> None:
    job = SAMPLERS[label]().run([(measured(), [[0.1], [0.2], [0.3]]), (measured(0.4), None, 7)], shots=50)
    assert type(job) is PrimitiveJob
    job.result()
    activity = on(monitor, label)
    assert +activity.executions == {"success": 4}
    assert activity.shots == 3 * 50 + 7
    assert activity.execution_time.count == 4
    assert activity.latest["depth"] == DEPTH
    assert activity.queue_time.count == 0


@pytest.mark.parametrize("label", SAMPLERS)
def test_samplers_give_the_same_results(monitor: QuantumMonitor, label: str) -> None:
    pubs = [(measured(), [[0.1], [0.2]])]
    seen = SAMPLERS[label]().run(pubs, shots=64).result()
    uninstrument()
    unseen = SAMPLERS[label]().run(pubs, shots=64).result()
    assert type(seen) is type(unseen)
    assert np.array_equal(seen[0].data.meas.array, unseen[0].data.meas.array)


def test_the_shots_of_an_estimator_are_those_that_its_backend_took(monitor: QuantumMonitor) -> None:
    circuit = transpile(ansatz(), BACKEND)
    pub = (circuit, OBSERVABLE.apply_layout(circuit.layout), [[0.1], [0.2]])
    BackendEstimatorV2(backend=BACKEND).run([pub], precision=0.1).result()
    activity = on(monitor, "generic_backend_2q")
    assert +activity.executions == {"success": 2}
    assert activity.shots == 2 * 2 * 100  # sets of parameters, bases, 1 / precision squared


@pytest.mark.parametrize(
    ("label", "estimator"), [("statevector_estimator", StatevectorEstimator), ("aer_simulator", AerEstimator)]
)
def test_an_exact_estimator_takes_no_shots(monitor: QuantumMonitor, label: str, estimator: Any) -> None:
    estimator().run([(ansatz(), [[OBSERVABLE], ["ZI"]], [[0.1], [0.2], [0.3]])]).result()
    activity = on(monitor, label)
    assert +activity.executions == {"success": 3}  # however many observables
    assert activity.shots is None


@pytest.mark.parametrize(
    ("label", "backend"),
    [("aer_simulator", SIMULATOR), ("basic_simulator", BasicSimulator()), ("generic_backend_2q", BACKEND)],
)
def test_each_circuit_that_a_backend_runs_is_counted_once(monitor: QuantumMonitor, label: str, backend: Any) -> None:
    circuits = [transpile(measured(angle), backend, optimization_level=0) for angle in (0.1, 0.2)]
    backend.run(circuits, shots=20).result()
    backend.run(circuits[0]).result()
    activity = on(monitor, label)
    assert +activity.executions == {"success": 3}
    assert activity.shots == 2 * 20 + 1024
    assert activity.execution_time.count == 3


def test_parameters_bound_by_aer_are_an_execution_each(monitor: QuantumMonitor) -> None:
    binds = [{ANGLE: [0.1, 0.2, 0.3]}]
    SIMULATOR.run([measured()], parameter_binds=binds, shots=10).result()
    assert on(monitor, "aer_simulator").shots == 30
    assert counts(monitor) == {"aer_simulator": {"success": 3}}


def test_a_circuit_without_classical_bits_takes_no_shots(monitor: QuantumMonitor) -> None:
    circuit = ansatz().assign_parameters([0.1])
    circuit.save_statevector()  # put there by Aer
    SIMULATOR.run(circuit).result()
    assert on(monitor, "aer_simulator").shots is None


def test_pubs_that_can_be_gone_through_once_are(monitor: QuantumMonitor) -> None:
    made: list[float] = []

    def pubs() -> Iterator[Any]:
        for angle in (0.1, 0.2):
            made.append(angle)
            yield measured(), [angle], 8

    result = StatevectorSampler().run(pubs()).result()
    assert len(result) == 2
    assert made == [0.1, 0.2]
    assert on(monitor, "statevector_sampler").shots == 16


def test_a_template_is_seen_through(monitor: QuantumMonitor) -> None:
    circuit = QuantumCircuit(3)
    circuit.append(efficient_su2(3, reps=1).to_gate(), range(3))
    StatevectorEstimator().run([(circuit, "ZZZ", [0.1] * circuit.num_parameters)]).result()
    assert on(monitor, "statevector_estimator").latest["two_qubit_gates"] == 2


def test_what_fails_on_the_worker_is_failed_and_raises_as_before(monitor: QuantumMonitor) -> None:
    job = StatevectorSampler().run([broken()])
    with pytest.raises(QiskitError, match="mid-circuit") as raised:
        job.result()
    assert raised.value is job._future.exception()
    activity = on(monitor, "statevector_sampler")
    assert +activity.executions == {"failed": 1}
    assert activity.shots is None


def test_what_is_refused_at_once_is_failed_and_raises_as_before(monitor: QuantumMonitor) -> None:
    with pytest.raises(ValueError, match="does not match"):
        StatevectorSampler().run([measured()])
    with pytest.raises(ValueError, match="invalid Sampler pub-like"):
        StatevectorSampler().run(measured(0.1))  # a mistake that people make
    assert counts(monitor) == {"statevector_sampler": {"failed": 2}}


def test_a_simulation_that_aer_gives_up_is_failed(monitor: QuantumMonitor) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.unitary(np.eye(4), [0, 1])
    circuit.measure_all()
    result = AerSimulator(method="stabilizer").run(circuit).result()
    assert not result.success
    assert counts(monitor) == {"aer_simulator_stabilizer": {"failed": 1}}


class _Gate:
    """Holds up the worker thread of Aer until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __enter__(self) -> None:
        from qiskit_aer.jobs import utils

        utils.DEFAULT_EXECUTOR.submit(self.opened.wait)

    def __exit__(self, *_: object) -> None:
        self.opened.set()


def test_a_job_that_is_cancelled_is_cancelled(monitor: QuantumMonitor) -> None:
    with _Gate():
        job = SIMULATOR.run(measured(0.1))
        assert type(job) is AerJob
        assert job.cancel()
        assert counts(monitor) == {"aer_simulator": {"cancelled": 1}}
    assert job.status() is JobStatus.CANCELLED


def test_waiting_for_aers_worker_is_not_execution(monitor: QuantumMonitor) -> None:
    gate = _Gate()
    with gate:
        job = SIMULATOR.run(measured(0.1))
        assert counts(monitor) == {}
        waited = threading.Event()
        threading.Timer(0.3, waited.set).start()
        waited.wait()
    job.result()
    assert on(monitor, "aer_simulator").execution_time.total < 0.3


def test_a_job_that_nobody_awaits_is_counted(monitor: QuantumMonitor) -> None:
    StatevectorSampler().run([measured(0.1)])
    SIMULATOR.run(measured(0.1))
    eventually(lambda: counts(monitor) == {"statevector_sampler": {"success": 1}, "aer_simulator": {"success": 1}})


def test_jobs_of_many_threads_are_all_counted(monitor: QuantumMonitor) -> None:
    def work(_: int) -> None:
        AerSampler().run([measured(0.1)], shots=2).result()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(20)))
    assert on(monitor, "aer_simulator").shots == 40
    assert counts(monitor) == {"aer_simulator": {"success": 20}}


class _OwnSampler(StatevectorSampler):  # type: ignore[misc]  # Qiskit's types are not read here
    """Takes the circuits apart, and leaves the rest to the class that it comes from."""

    def run(self, pubs: Any, *, shots: Any = None) -> Any:
        return super().run([(circuit.copy(),) for circuit in pubs], shots=shots)


def test_a_primitive_of_the_users_own_is_counted_once(monitor: QuantumMonitor) -> None:
    assert len(_OwnSampler().run([measured(0.1), measured(0.2)], shots=3).result()) == 2
    assert on(monitor, "statevector_sampler").shots == 6
    assert counts(monitor) == {"statevector_sampler": {"success": 2}}


class _Cloud(BackendV2):  # type: ignore[misc]  # Qiskit's types are not read here
    """Somebody's machine elsewhere: its jobs have nothing but an id, a status and a result."""

    target = SIMULATOR.target
    max_circuits = None

    def __init__(self, outcome: Any = "the result") -> None:
        super().__init__(name="cloud")
        self.outcome = outcome

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=100)

    def run(self, run_input: Any, **_: Any) -> Any:  # noqa: ARG002 - Qiskit's interface
        return _CloudJob(self, "1", outcome=self.outcome)


class _CloudJob(JobV1):  # type: ignore[misc]  # Qiskit's types are not read here
    def __init__(self, backend: Any, number: str, outcome: Any) -> None:
        super().__init__(backend, number)
        self.outcome = outcome

    def submit(self) -> None:
        pass

    def status(self) -> JobStatus:
        return JobStatus.QUEUED

    def result(self, timeout: float | None = None) -> Any:
        if timeout is not None:
            raise TimeoutError
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.filterwarnings("ignore:.*price")
def test_a_job_of_which_nothing_is_known_is_counted_with_its_result(monitor: QuantumMonitor) -> None:
    job = _Cloud().run(measured(0.1))
    activity = on(monitor, "cloud")
    assert (+activity.executions, activity.jobs["queued"]) == ({}, 1)
    with pytest.raises(TimeoutError):
        job.result(timeout=0)
    assert not +activity.executions
    assert [job.result(), job.result()] == ["the result"] * 2
    assert (+activity.executions, activity.shots, activity.jobs["queued"]) == ({"success": 1}, 100, 0)
    assert "result" not in vars(job)


def test_a_job_elsewhere_that_failed_is_failed(monitor: QuantumMonitor) -> None:
    error = RuntimeError("out of order")
    with pytest.raises(RuntimeError) as raised:
        _Cloud(error).run(measured(0.1)).result()
    assert raised.value is error
    assert counts(monitor) == {"cloud": {"failed": 1}}


def test_transpiling_shows_the_circuit_before_and_after(monitor: QuantumMonitor) -> None:
    long = QuantumCircuit(3)
    for _ in range(4):
        long.cx(0, 2)
        long.h(range(3))
    line = GenericBackendV2(3, coupling_map=[[0, 1], [1, 2]], seed=1)
    transpiled = transpile(long, line, optimization_level=0, seed_transpiler=1)
    run = run_of(monitor)
    assert run.transpilations[0] == 1
    assert run.transpilations[1] > 0
    assert run.transpiled["depth", "before"] == 8
    assert run.transpiled["two_qubit_gates", "before"] == 4
    assert run.transpiled["two_qubit_gates", "after"] == transpiled.num_nonlocal_gates() > 4
    assert not run.circuits


def test_of_many_circuits_the_largest_is_shown_and_the_call_is_one(
    monitor: QuantumMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QISKIT_PARALLEL", "TRUE")
    monkeypatch.setenv("QISKIT_IGNORE_USER_SETTINGS", "TRUE")
    circuits = [ansatz(), ansatz().compose(ansatz()), ansatz()]
    manager = generate_preset_pass_manager(1, BACKEND)
    made = manager.run(circuits, num_processes=2)
    assert [type(circuit) for circuit in made] == [QuantumCircuit] * 3
    assert run_of(monitor).transpilations[0] == 1
    assert run_of(monitor).transpiled["depth", "before"] == 5


def test_what_primitives_transpile_for_themselves_is_not_shown(monitor: QuantumMonitor) -> None:
    BackendEstimatorV2(backend=SIMULATOR).run([(ansatz(), OBSERVABLE, [0.1])], precision=0.5).result()
    assert run_of(monitor).transpilations[0] == 0


def test_one_watched_primitive_is_counted_and_no_other(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(backend_poll_interval=0).start_run("a")
    sampler = BackendSamplerV2(backend=SIMULATOR)
    submit = vars(PrimitiveJob)["_submit"]
    monitor.watch(sampler)
    monitor.watch(SIMULATOR)
    sampler.run([measured(0.1)], shots=5).result()
    BackendSamplerV2(backend=BACKEND).run([measured(0.1)]).result()
    SIMULATOR.run(measured(0.1), shots=6).result()
    assert on(monitor, "aer_simulator").shots == 11
    monitor.unwatch(sampler)
    monitor.unwatch(SIMULATOR)
    assert vars(PrimitiveJob)["_submit"] is submit


def test_a_watched_primitive_is_forgotten_without_harm_to_the_rest(monitor: QuantumMonitor) -> None:
    sampler = StatevectorSampler()
    monitor.watch(sampler)
    monitor.unwatch(sampler)
    BackendEstimatorV2(backend=BACKEND).run([(ansatz(), OBSERVABLE, [0.1])], precision=0.1).result()
    assert on(monitor, "generic_backend_2q").shots == 200
    assert counts(monitor) == {"generic_backend_2q": {"success": 1}}


def test_qiskit_is_given_back_as_it_was() -> None:
    places = [
        (StatevectorSampler, "run"),
        (BackendEstimatorV2, "run"),
        (AerSampler, "run"),
        (GenericBackendV2, "run"),
        (BasicSimulator, "run"),
        (PrimitiveJob, "_submit"),
        (AerJob, "submit"),
        (type(generate_preset_pass_manager(1)), "run"),
    ]
    before = [vars(owner)[name] for owner, name in places]
    instrument("qiskit")
    instrument()
    during = [vars(owner)[name] for owner, name in places]
    uninstrument()
    assert [vars(owner)[name] for owner, name in places] == before
    assert not set(before) & set(during)
    signatures = [inspect.signature(function) for function in during]
    assert signatures == [inspect.signature(function) for function in before]


def test_primitives_backends_and_jobs_are_copied_and_pickled_as_before(monitor: QuantumMonitor) -> None:
    monitor.watch(SIMULATOR)
    for thing in (StatevectorSampler(seed=1), BACKEND, SIMULATOR):
        for twin in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):  # noqa: S301 - our own
            assert twin.__class__ is thing.__class__
    job = StatevectorSampler(seed=1).run([measured(0.1)], shots=5)
    twin = pickle.loads(pickle.dumps(job))  # noqa: S301 - our own
    assert np.array_equal(twin.result()[0].data.meas.array, job.result()[0].data.meas.array)
    monitor.unwatch(SIMULATOR)
    assert counts(monitor) == {"statevector_sampler": {"success": 1}}


def test_a_forked_child_counts_nothing(monitor: QuantumMonitor) -> None:
    child = os.fork()
    if child == 0:
        StatevectorSampler().run([measured(0.1)]).result()
        os._exit(0 if not run_of(monitor).circuits else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    StatevectorSampler().run([measured(0.1)]).result()
    assert counts(monitor) == {"statevector_sampler": {"success": 1}}


def test_jobs_that_run_while_the_script_exits_are_counted(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, quantum_monitor\n"
        "quantum_monitor.instrument()\n"
        "from qiskit import QuantumCircuit\n"
        "from qiskit.primitives import StatevectorSampler\n"
        "monitor = quantum_monitor.QuantumMonitor('e', metrics_port=None, storage_path='runs')\n"
        "monitor.start_run('a')\n"
        "circuit = QuantumCircuit(4)\n"
        "circuit.h(range(4))\n"
        "circuit.measure_all()\n"
        "job = StatevectorSampler().run([circuit], shots=20_000)\n"
        "sys.exit(3)\n"
    )
    result = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (3, "")
    (run,) = find_runs(tmp_path / "runs")
    assert StoredRun(run).series("shots").value.tolist() == [20_000]
