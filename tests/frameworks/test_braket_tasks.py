"""Tasks at AWS, instrumented: the SDK itself against a service on loopback."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice, AwsQuantumTask
from braket.circuits import Circuit
from braket.tracking import Tracker
from braket.tracking.tracking_context import active_trackers

from quantum_monitor import BudgetExceeded, QuantumMonitor, instrument, uninstrument
from quantum_monitor.activity import Activity
from quantum_monitor.frameworks import remote_jobs
from quantum_monitor.frameworks.executions import Batch, observed
from tests.frameworks.loopback_tasks import QPU, SIMULATOR, TaskService, task_service
from tests.server_process import eventually

# Each thread in which the SDK waits for a result keeps an event loop that nobody closes.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NewMonitor = Callable[..., QuantumMonitor]

BELL = Circuit().h(0).cnot(0, 1)
FORTE_TASK, FORTE_SHOT = 0.30, 0.08


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskService]:
    with task_service(monkeypatch) as service:
        yield service
    gc.collect()  # the SDK leaves event loops of its threads behind, which a later test would be told of


@pytest.fixture
def monitor(service: TaskService, new_monitor: NewMonitor) -> Iterator[QuantumMonitor]:
    """A monitor whose run is active, while Braket is instrumented."""
    assert service.url
    instrument("braket")
    yield new_monitor(backend_poll_interval=0).start_run("a")
    uninstrument()


def forte(monitor: QuantumMonitor, name: str = "Forte 1") -> Activity:
    run = monitor.active_run
    assert run is not None
    return run.circuits[name]


def executed(activity: Activity) -> dict[str, int]:
    return {status: count for status, count in activity.executions.items() if count}


def send(device: AwsDevice, shots: int = 100) -> AwsQuantumTask:
    return device.run(BELL, shots=shots, poll_interval_seconds=0.01)


def test_a_task_waits_runs_and_is_counted_when_its_results_are_there(monitor: QuantumMonitor) -> None:
    task = send(AwsDevice(QPU))
    assert forte(monitor).jobs["queued"] + forte(monitor).jobs["running"] == 1
    assert executed(forte(monitor)) == {}
    assert len(task.result().measurements) == 2
    done = forte(monitor)
    assert executed(done) == {"success": 1}
    assert done.shots == 100
    assert done.latest["two_qubit_gates"] == 1
    assert done.jobs == {"queued": 0, "running": 0}


def test_a_task_on_a_quantum_processor_has_a_price_and_no_time_of_its_own(monitor: QuantumMonitor) -> None:
    send(AwsDevice(QPU)).result()
    assert forte(monitor).costs[("USD", "estimated")][0] == pytest.approx(FORTE_TASK + 100 * FORTE_SHOT)
    assert forte(monitor).execution_time.count == 0  # Braket does not say when a task began to run


def test_a_task_on_a_simulator_took_what_its_results_say_and_waited_the_rest(monitor: QuantumMonitor) -> None:
    send(AwsDevice(SIMULATOR)).result()
    done = forte(monitor, "SV1")
    assert done.execution_time.total == pytest.approx(2.5)
    assert done.queue_time.total == pytest.approx(10 - 2.5)


def test_the_estimates_are_those_of_the_tracker_of_the_sdk(monitor: QuantumMonitor) -> None:
    with Tracker() as tracker:
        send(AwsDevice(QPU), 30).result()
        send(AwsDevice(SIMULATOR)).result()
        told = tracker.quantum_tasks_statistics()
    assert told[QPU]["shots"] == forte(monitor).shots
    assert told[SIMULATOR]["execution_duration"].total_seconds() == forte(monitor, "SV1").execution_time.total


def test_a_batch_is_counted_task_by_task_from_the_threads_of_the_sdk(monitor: QuantumMonitor) -> None:
    batch = AwsDevice(QPU).run_batch([BELL] * 3, shots=10, poll_interval_seconds=0.01)
    batch.results()
    assert executed(forte(monitor)) == {"success": 3}
    assert forte(monitor).shots == 30


def test_what_a_batch_tries_again_is_counted_again(monitor: QuantumMonitor, service: TaskService) -> None:
    service.life = ("FAILED",)
    batch = AwsDevice(QPU).run_batch([BELL, BELL], shots=10, poll_interval_seconds=0.01)
    batch.results(max_retries=0)
    service.life = ("COMPLETED",)
    batch.retry_unsuccessful_tasks()
    assert executed(forte(monitor)) == {"success": 2, "failed": 2}


def test_of_a_batch_that_breaks_off_what_was_sent_is_counted(monitor: QuantumMonitor, service: TaskService) -> None:
    service.refuses, service.life = 1, ("FAILED",)
    with pytest.raises(ClientError, match="not this one"):
        AwsDevice(QPU).run_batch([BELL] * 3, shots=10, max_parallel=1, poll_interval_seconds=0.01)
    eventually(lambda: executed(forte(monitor)) == {"failed": 3})
    assert len(service.sent) == 1


def test_a_task_that_was_sent_without_a_device_is_counted(monitor: QuantumMonitor) -> None:
    session = AwsDevice(QPU).aws_session
    aria = QPU.replace("Forte", "Aria")
    AwsQuantumTask.create(session, aria, BELL, ("bucket", "tasks"), 7, poll_interval_seconds=0.01).result()
    assert executed(forte(monitor, "Aria-1")) == {"success": 1}
    assert forte(monitor, "Aria-1").shots == 7


@pytest.mark.parametrize(("status", "shown"), [("FAILED", "failed"), ("CANCELLED", "cancelled")])
def test_a_task_that_nobody_asks_for_is_counted_when_it_has_failed(
    monitor: QuantumMonitor, service: TaskService, status: str, shown: str
) -> None:
    service.life = (status,)
    send(AwsDevice(QPU))
    eventually(lambda: executed(forte(monitor)) == {shown: 1})
    done = forte(monitor)
    assert done.shots is None
    assert done.costs[("USD", "estimated")][0] == 0


def test_a_task_that_the_program_cancels_is_counted_as_cancelled(monitor: QuantumMonitor, service: TaskService) -> None:
    service.life = ("QUEUED",)
    task = send(AwsDevice(QPU))
    task.cancel()
    assert task.result() is None
    assert executed(forte(monitor)) == {"cancelled": 1}


def test_a_task_whose_results_nobody_fetched_is_counted_at_the_end_of_the_run(
    monitor: QuantumMonitor, service: TaskService
) -> None:
    service.life = ("COMPLETED",)
    send(AwsDevice(QPU))
    run = monitor.active_run
    assert run is not None
    assert executed(forte(monitor)) == {}
    remote_jobs.settle(run)
    assert executed(forte(monitor)) == {"success": 1}
    assert not active_trackers()


def test_a_task_that_is_refused_is_counted_as_failed(monitor: QuantumMonitor, service: TaskService) -> None:
    service.refuses = 0
    with pytest.raises(ClientError, match="not this one"):
        send(AwsDevice(QPU))
    assert executed(forte(monitor)) == {"failed": 1}
    assert forte(monitor).jobs == {}


def test_tasks_within_what_somebody_else_counts_are_not_counted_again(monitor: QuantumMonitor) -> None:
    device = AwsDevice(QPU)

    def outer() -> None:
        send(device).result()
        device.run_batch([BELL, BELL], shots=1, poll_interval_seconds=0.01).results()

    observed(lambda: Batch("plugin", (BELL,) * 3, local=False), outer)
    run = monitor.active_run
    assert run is not None
    assert list(run.circuits) == ["plugin"]
    assert executed(run.circuits["plugin"]) == {"success": 3}


def test_a_task_that_would_break_the_budget_is_not_sent(service: TaskService, new_monitor: NewMonitor) -> None:
    instrument("braket")
    monitor = new_monitor(backend_poll_interval=0, enforce_budget=True, alert_config={"cost_budget": 10.0})
    try:
        with monitor.start_run("a"):
            send(AwsDevice(QPU)).result()  # 8.30
            with pytest.raises(BudgetExceeded):
                send(AwsDevice(QPU))
            assert len(service.sent) == 1
            assert executed(forte(monitor)) == {"success": 1}
    finally:
        uninstrument()


def test_the_sdk_gets_back_all_that_was_wrapped(monitor: QuantumMonitor) -> None:
    uninstrument()
    assert not hasattr(AwsQuantumTask.create, "__wrapped__")
    before = dict(vars(AwsDevice)), dict(vars(AwsQuantumTask))
    instrument("braket")
    instrument("braket")
    device = monitor.watch(AwsDevice(QPU))
    assert (dict(vars(AwsDevice)), dict(vars(AwsQuantumTask))) != before
    uninstrument()
    monitor.unwatch(device)
    assert (dict(vars(AwsDevice)), dict(vars(AwsQuantumTask))) == before
    assert not active_trackers()


def test_only_a_watched_device_counts(service: TaskService, new_monitor: NewMonitor) -> None:
    monitor = new_monitor(backend_poll_interval=0).start_run("a")
    watched = monitor.watch(AwsDevice(QPU))
    send(AwsDevice(QPU)).result()
    run = monitor.active_run
    assert run is not None
    assert run.circuits == {}
    send(watched).result()
    watched.run_batch([BELL, BELL], shots=1, poll_interval_seconds=0.01).results()
    assert executed(forte(monitor)) == {"success": 3}
    monitor.unwatch(watched)
    send(watched).result()
    assert executed(forte(monitor)) == {"success": 3}
    assert len(service.sent) == 5
