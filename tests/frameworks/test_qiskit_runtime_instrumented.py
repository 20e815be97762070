"""IBM Runtime without a line of the user's: its local mode, and its real client asking a service on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.activity import Activity
from quantum_monitor.frameworks import remote_jobs
from quantum_monitor.run import Run
from tests.backends.loopback_ibm import BACKEND, JOB, RuntimeService
from tests.server_process import eventually

runtime = pytest.importorskip("qiskit_ibm_runtime")
FakeManilaV2 = pytest.importorskip("qiskit_ibm_runtime.fake_provider").FakeManilaV2

NewMonitor = Callable[..., QuantumMonitor]

ANGLE = Parameter("angle")
OBSERVABLE = SparsePauliOp(["ZZ", "XX"], [1.0, 0.5])  # two bases of measurement

pytestmark = pytest.mark.filterwarnings("ignore:The (Sampler|Estimator)V2 class is deprecated")


def ansatz(backend: Any, *, measured: bool = True) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.ry(ANGLE, 1)
    if measured:
        circuit.measure_all()
    return transpile(circuit, backend, optimization_level=0)


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


@pytest.mark.parametrize(("backend", "label"), [(FakeManilaV2(), "fake_manila"), (AerSimulator(), "aer_simulator")])
def test_the_local_mode_is_counted_once(monitor: QuantumMonitor, backend: Any, label: str) -> None:
    job = runtime.SamplerV2(mode=backend).run([(ansatz(backend), [[0.1], [0.2]])], shots=20)
    assert type(job).__name__ == "LocalRuntimeJob"
    job.result()
    activity = on(monitor, label)
    assert +activity.executions == {"success": 2}
    assert activity.shots == 40
    assert activity.execution_time.count == 2
    assert activity.latest["two_qubit_gates"] == 1


def test_samplers_that_work_on_the_clients_side_are_counted_once(monitor: QuantumMonitor) -> None:
    sampler = pytest.importorskip("qiskit_ibm_runtime.executor_sampler").Sampler
    backend = FakeManilaV2()
    sampler(mode=backend).run([(ansatz(backend), [[0.1], [0.2]])], shots=20).result()
    assert +on(monitor, "fake_manila").executions == {"success": 2}
    assert on(monitor, "fake_manila").shots == 40


@pytest.mark.parametrize(
    ("module", "name", "shots"),
    [
        ("qiskit_ibm_runtime", "EstimatorV2", 2 * 2 * 100),  # sets of parameters, bases, 1 / precision squared
        ("qiskit_ibm_runtime.executor_estimator", "Estimator", (2 * 2 * 2 + 2) * 64),  # twirled, and readout learned
    ],
)
def test_the_shots_of_an_estimator_in_local_mode_are_those_that_were_taken(
    monitor: QuantumMonitor, module: str, name: str, shots: int
) -> None:
    estimator = getattr(pytest.importorskip(module), name)
    backend = FakeManilaV2()
    circuit = ansatz(backend, measured=False)
    pub = (circuit, OBSERVABLE.apply_layout(circuit.layout), [[0.1], [0.2]])
    with runtime.Session(backend=backend) as session:
        estimator(mode=session).run([pub], precision=0.1).result()
    activity = on(monitor, "fake_manila")
    assert +activity.executions == {"success": 2}
    assert activity.shots == shots


def test_a_program_of_the_executor_is_an_execution_for_each_set_of_parameters(monitor: QuantumMonitor) -> None:
    backend = FakeManilaV2()
    program = runtime.QuantumProgram(shots=10)
    program.append_circuit_item(ansatz(backend), circuit_arguments=[[0.1], [0.2], [0.3]])
    runtime.Executor(backend).run(program).result()
    assert +on(monitor, "fake_manila").executions == {"success": 3}
    assert on(monitor, "fake_manila").shots == 30


class _Submissions(RuntimeService):
    """Takes jobs, too."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []
        service, base = self, self._server.RequestHandlerClass

        class Handler(base):  # type: ignore[misc, valid-type]
            def do_POST(self) -> None:
                if not self.path.endswith("/jobs"):
                    super().do_POST()
                    return
                service.sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._send(200, {"id": JOB, "backend": BACKEND})

        self._server.RequestHandlerClass = Handler


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Submissions]:
    fake = FakeManilaV2()
    folder = Path(fake.dirname)
    serving = _Submissions()
    with serving.serving(monkeypatch):
        serving.answers |= {
            "/backends": {"devices": [{"name": BACKEND}]},
            f"/backends/{BACKEND}/configuration": {
                **json.loads((folder / fake.conf_filename).read_text()),
                "backend_name": BACKEND,
            },
            f"/backends/{BACKEND}/properties": json.loads((folder / fake.props_filename).read_text()),
            f"/backends/{BACKEND}/status": {"state": True, "status": "active", "length_queue": 12},
        }
        serving.answers["/instances/usage"] = {"usage_limit_reached": False}
        serving.job("Queued")
        yield serving


@pytest.fixture
def backend(service: _Submissions) -> Any:
    return runtime.QiskitRuntimeService().backend(BACKEND)


def test_a_job_elsewhere_is_counted_with_its_times_and_its_bill(
    monitor: QuantumMonitor, service: _Submissions, backend: Any
) -> None:
    job = runtime.SamplerV2(mode=backend).run([(ansatz(backend), [[0.1], [0.2]])], shots=20)
    assert type(job) is runtime.RuntimeJobV2
    assert job.job_id() == JOB
    activity = on(monitor, BACKEND)
    eventually(lambda: activity.jobs["queued"] == 1)
    assert not +activity.executions
    service.metrics(qpu_charge_time_seconds=3, status="complete")
    service.job("Completed")
    eventually(lambda: +activity.executions == {"success": 2})
    assert activity.shots == 40
    assert activity.queue_time.total == pytest.approx(2 * 3600)
    assert activity.execution_time.total == pytest.approx(12, abs=1e-3)
    assert activity.billed_time == pytest.approx(3)
    assert activity.jobs["queued"] == 0
    assert len(service.sent) == 1


def test_the_training_asks_nobody_for_its_job(
    monitor: QuantumMonitor, service: _Submissions, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking: set[str] = set()
    asked = runtime.RuntimeJobV2.status

    def status(job: Any) -> Any:
        asking.add(threading.current_thread().name)
        return asked(job)

    monkeypatch.setattr(runtime.RuntimeJobV2, "status", status)
    service.metrics(qpu_charge_time_seconds=1, status="complete")
    service.job("Completed")
    runtime.SamplerV2(mode=backend).run([(ansatz(backend), [0.1])])
    eventually(lambda: +on(monitor, BACKEND).executions)
    assert asking
    assert threading.main_thread().name not in asking


def test_a_job_elsewhere_that_fails_is_failed_without_shots(
    monitor: QuantumMonitor, service: _Submissions, backend: Any
) -> None:
    service.metrics(qpu_charge_time_seconds=1, status="complete")
    service.job("Failed", reason="out of order", reasonCode=9999)
    service.answers[f"/jobs/{JOB}/results"] = "out of order"
    runtime.SamplerV2(mode=backend).run([(ansatz(backend), [0.1])], shots=20)
    activity = on(monitor, BACKEND)
    eventually(lambda: +activity.executions == {"failed": 1})
    assert activity.shots is None


def test_a_job_that_is_over_when_the_run_ends_is_part_of_it(
    monitor: QuantumMonitor, service: _Submissions, backend: Any
) -> None:
    runtime.SamplerV2(mode=backend).run([(ansatz(backend), [0.1])], shots=20)
    activity = on(monitor, BACKEND)
    eventually(lambda: activity.jobs["queued"] == 1)
    service.metrics(status="pending")
    service.job("Completed")
    remote_jobs.settle(run_of(monitor))
    assert +activity.executions == {"success": 1}


def test_the_shots_of_an_estimator_elsewhere_are_those_of_its_precision(
    monitor: QuantumMonitor, service: _Submissions, backend: Any
) -> None:
    service.metrics(qpu_charge_time_seconds=1, status="complete")
    service.job("Completed")
    circuit = ansatz(backend, measured=False)
    pub = (circuit, OBSERVABLE.apply_layout(circuit.layout), [[0.1], [0.2]])
    runtime.EstimatorV2(mode=backend).run([pub], precision=0.1)
    eventually(lambda: on(monitor, BACKEND).shots == 2 * 100)


def test_a_job_that_is_refused_is_failed_and_raises_as_before(monitor: QuantumMonitor, backend: Any) -> None:
    unmade = QuantumCircuit(2)
    unmade.h(0)
    unmade.measure_all()
    with pytest.raises(Exception, match=r"does not match the target|not supported by the target"):
        runtime.SamplerV2(mode=backend).run([unmade])
    assert +on(monitor, BACKEND).executions == {"failed": 1}


def test_a_dry_run_is_no_execution(monitor: QuantumMonitor, service: _Submissions, backend: Any) -> None:
    with pytest.raises(Exception, match="mock"):  # the service has no such backend
        runtime.SamplerV2(mode=backend).run([(ansatz(backend), [0.1])], dry_run=True)
    assert not run_of(monitor).circuits
    assert not service.sent


def test_the_executor_is_given_back_as_it_was() -> None:
    before = vars(runtime.Executor)["run"], vars(runtime.SamplerV2)["run"]
    instrument("qiskit")
    assert vars(runtime.Executor)["run"] is not before[0]
    uninstrument()
    assert (vars(runtime.Executor)["run"], vars(runtime.SamplerV2)["run"]) == before
