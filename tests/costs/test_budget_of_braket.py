"""A budget that is enforced on tasks of Braket: what is refused never reaches the service, and no money gets lost."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice
from braket.circuits import Circuit

from quantum_monitor import BudgetExceeded, QuantumMonitor, instrument, uninstrument
from quantum_monitor.costs import budget
from quantum_monitor.frameworks import remote_jobs
from quantum_monitor.run import Run
from tests.frameworks.loopback_tasks import QPU, SIMULATOR, TaskService, task_service
from tests.server_process import eventually

# Each thread in which the SDK waits for a result keeps an event loop that nobody closes.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

BELL = Circuit().h(0).cnot(0, 1)
TASK_OF_100 = 0.30 + 100 * 0.08  # Forte


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskService]:
    with task_service(monkeypatch) as service:
        yield service
    gc.collect()  # those event loops: here, and not in somebody else's test


@pytest.fixture
def run(service: TaskService, new_monitor: Callable[..., QuantumMonitor]) -> Iterator[Run]:
    """A run that may spend 20 dollars, while Braket is instrumented."""
    assert service.url
    instrument("braket")
    monitor = new_monitor(backend_poll_interval=0, enforce_budget=True, alert_config={"cost_budget": 20.0})
    active = monitor.start_run("a").active_run
    assert active is not None
    yield active
    uninstrument()


def left_aside(run: Run) -> float:
    return sum(run.set_aside.values())


def test_tasks_of_all_kinds_cost_what_the_tables_say_to_the_cent(run: Run, service: TaskService) -> None:
    forte, sv1 = AwsDevice(QPU), AwsDevice(SIMULATOR)
    forte.run(BELL, shots=100, poll_interval_seconds=0.01).result()  # 8.30
    service.execution_duration = 61_234
    sv1.run(BELL, shots=100, poll_interval_seconds=0.01).result()  # 61.234 s x 0.075 / 60
    service.execution_duration = 2_500
    sv1.run(BELL, shots=100, poll_interval_seconds=0.01).result()  # three seconds at least
    service.life = ("QUEUED", "FAILED")
    forte.run(BELL, shots=100, poll_interval_seconds=0.01).result()  # nothing
    service.life = ("QUEUED", "COMPLETED")
    forte.run_batch([BELL] * 2, shots=50, poll_interval_seconds=0.01).results()  # 2 x 4.30
    assert budget.spent(run) == {"USD": pytest.approx(8.30 + 0.0765425 + 0.00375 + 2 * 4.30)}
    assert left_aside(run) == 0


@pytest.mark.parametrize("life", [("COMPLETED",), ("QUEUED", "COMPLETED")])
def test_the_time_of_a_simulator_is_priced_though_the_background_heard_first_that_it_is_over(
    run: Run, service: TaskService, life: tuple[str, ...]
) -> None:
    service.life, service.execution_duration = life, 61_234
    task = AwsDevice(SIMULATOR).run(BELL, shots=100, poll_interval_seconds=0.01)
    if len(life) == 1:
        followed = remote_jobs._OPEN.follower()._jobs
        eventually(lambda: any(job.facts is not None and job.facts.done for job in followed.values()))
    task.result()
    assert budget.spent(run) == {"USD": pytest.approx(61.234 * 0.075 / 60)}


def test_a_batch_that_would_break_the_budget_is_not_begun(run: Run, service: TaskService) -> None:
    with pytest.raises(BudgetExceeded, match="3 circuits on Forte 1"):
        AwsDevice(QPU).run_batch([BELL] * 3, shots=100, poll_interval_seconds=0.01)
    assert service.sent == []
    with pytest.raises(BudgetExceeded):  # 1000 shots unless given
        AwsDevice(QPU).run_batch([BELL])
    with pytest.raises(BudgetExceeded, match="3 circuits"):
        AwsDevice(QPU).run_batch(BELL, shots=[100, 100, 100], inputs=[{}, {}, {}])
    assert service.sent == []
    assert left_aside(run) == 0
    AwsDevice(QPU).run_batch([BELL] * 2, shots=100, poll_interval_seconds=0.01).results()
    assert budget.spent(run) == {"USD": pytest.approx(2 * TASK_OF_100)}


def test_threads_send_only_what_there_is_money_for(run: Run, service: TaskService) -> None:
    device = AwsDevice(QPU)
    refused: list[BudgetExceeded] = []

    def work() -> None:
        for _ in range(3):
            try:
                device.run(BELL, shots=100, poll_interval_seconds=0.01).result()
            except BudgetExceeded as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(service.sent), len(refused)) == (2, 10)
    assert budget.spent(run) == {"USD": pytest.approx(2 * TASK_OF_100)}
    assert left_aside(run) == 0


def test_what_never_ran_gives_its_money_back(run: Run, service: TaskService) -> None:
    device = AwsDevice(QPU)
    service.refuses = 0
    with pytest.raises(ClientError):
        device.run(BELL, shots=100)
    assert left_aside(run) == 0
    service.refuses, service.life = None, ("QUEUED",)
    task = device.run(BELL, shots=100, poll_interval_seconds=0.01)
    assert left_aside(run) == pytest.approx(TASK_OF_100)
    task.cancel()
    eventually(lambda: left_aside(run) == 0)
    assert budget.spent(run).get("USD", 0.0) == 0


def test_a_task_in_a_reservation_needs_no_budget(run: Run, service: TaskService) -> None:
    device, reservation = AwsDevice(QPU), "arn:aws:braket:us-east-1:123456789012:reservation/a"
    device.run(BELL, shots=1000, reservation_arn=reservation, poll_interval_seconds=0.01).result()
    device.run_batch([BELL], shots=1000, reservation_arn=reservation, poll_interval_seconds=0.01).results()
    assert len(service.sent) == 2
    assert budget.spent(run) == {"USD": 0.0}
