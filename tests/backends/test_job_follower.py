"""Following jobs that were sent: Braket's SDK asking a service on loopback, and jobs of this process."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from braket.aws import AwsDevice, AwsQuantumTask
from braket.circuits import Circuit
from braket.devices import LocalSimulator
from qiskit import QuantumCircuit

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.backends import CannotFollowError, Follower, JobFacts, UnknownJobError, read_job
from quantum_monitor.backends.lookup import reader_of_job
from quantum_monitor.faults import FAULTS
from tests.backends.loopback_braket import DEVICE, TASK, BraketService, braket_service, device, ionq, task
from tests.frameworks.loopback_tasks import task_service
from tests.server_process import eventually

CREATED = 1767225600.0
OTHER = TASK[:-1] + "2"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[BraketService]:
    with braket_service(monkeypatch) as serving:
        yield serving


@pytest.fixture
def follower() -> Iterator[Follower]:
    made = Follower(first=0.02, longest=0.1)
    yield made
    made.close()


def _bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


def test_a_task_is_told_of_from_the_queue_to_its_end(service: BraketService, follower: Follower) -> None:
    service.tasks[TASK] = [
        task("CREATED"),
        task("QUEUED"),
        task("RUNNING"),
        task("COMPLETED", endedAt="2026-01-01T01:00:00.250Z"),
    ]
    heard: list[JobFacts] = []
    before = time.time()
    follower.follow(AwsQuantumTask(TASK), heard.append)
    eventually(lambda: heard and heard[-1].done)
    assert [facts.state for facts in heard] == ["queued", "running", "completed"]
    last = heard[-1]
    assert (last.provider, last.job, last.device) == ("braket", TASK, DEVICE)
    assert last.created == CREATED
    assert last.finished == CREATED + 3600.25
    assert last.running is not None  # the service does not say when: it is when the follower first saw it run
    assert before <= last.running <= time.time()
    assert last.queue_time == pytest.approx(last.running - CREATED)
    assert last.fields()["shots"] == 1000
    eventually(lambda: follower.open == 0)


def test_a_task_that_was_never_seen_to_run_has_no_time_in_the_queue(service: BraketService) -> None:
    service.tasks[TASK] = [task("COMPLETED", endedAt="2026-01-01T01:00:00Z")]
    facts = read_job(AwsQuantumTask(TASK))
    assert facts.done
    assert facts.running is None
    assert facts.fields() == {"shots": 1000}


@pytest.mark.parametrize(
    ("status", "state", "execution"), [("FAILED", "failed", "failed"), ("CANCELLED", "cancelled", "cancelled")]
)
def test_a_task_that_did_not_complete_took_no_shots(
    service: BraketService, status: str, state: str, execution: str
) -> None:
    service.tasks[TASK] = [task(status, failureReason="the laser is off")]
    facts = read_job(AwsQuantumTask(TASK))
    assert facts.state == state
    assert facts.status == execution
    assert facts.fields() == {}
    assert facts.error == ("the laser is off" if state == "failed" else None)


def test_a_service_that_fails_for_a_while_is_asked_again(service: BraketService, follower: Follower) -> None:
    service.tasks[TASK] = [task("QUEUED"), task("COMPLETED")]
    heard: list[JobFacts] = []
    counted = FAULTS.errors["jobs"]
    service.broken = (500, "InternalServiceException")
    follower.follow(AwsQuantumTask(TASK), heard.append)
    eventually(lambda: FAULTS.errors["jobs"] >= counted + 2)
    assert heard == []
    service.broken = None
    eventually(lambda: heard and heard[-1].state == "completed")


def test_a_job_that_hangs_delays_no_other(service: BraketService, follower: Follower) -> None:
    go_on = threading.Event()
    heard: list[JobFacts] = []

    def hang() -> JobFacts:
        go_on.wait()
        return JobFacts("hangs", "local", "completed")

    for _ in range(5):
        follower.follow_by(hang, heard.append)
    service.tasks[TASK] = [task("QUEUED"), task("COMPLETED")]
    follower.follow(AwsQuantumTask(TASK), heard.append)
    eventually(lambda: heard and heard[-1].job == TASK and heard[-1].done)
    assert follower.open == 5
    go_on.set()
    eventually(lambda: follower.open == 0)


def test_a_job_that_the_provider_has_forgotten_is_lost(service: BraketService, follower: Follower) -> None:
    service.tasks[TASK] = [task("QUEUED")]
    heard: list[JobFacts] = []
    follower.follow_by(reader_of_job(TASK), heard.append)
    eventually(lambda: heard)
    del service.tasks[TASK]
    eventually(lambda: heard[-1].state == "lost")
    eventually(lambda: follower.open == 0)


def test_a_bill_that_comes_late_is_waited_for(follower: Follower) -> None:
    answers = [
        JobFacts("a", "ibm", "completed", settled=False),
        JobFacts("a", "ibm", "completed", settled=False),
        JobFacts("a", "ibm", "completed", billed=3.0),
    ]
    heard: list[JobFacts] = []
    follower.follow_by(lambda: answers.pop(0), heard.append)
    eventually(lambda: heard)
    assert heard == [JobFacts("a", "ibm", "completed", billed=3.0)]


def test_a_bill_that_has_not_come_at_the_end_of_the_process_is_not_waited_for() -> None:
    follower, asked = Follower(first=60), threading.Event()
    heard: list[JobFacts] = []

    def read() -> JobFacts:
        asked.set()
        return JobFacts("a", "ibm", "completed", settled=False)

    follower.follow_by(read, heard.append)
    assert asked.wait(30)
    eventually(lambda: all(followed.facts for followed in follower._jobs.values()))
    follower.close()
    assert heard == [JobFacts("a", "ibm", "completed", settled=False)]


def test_jobs_that_are_open_at_the_end_are_named_with_the_command(caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(first=60)
    heard: list[JobFacts] = []
    for job in ("c1", "c2"):
        follower.follow_by(lambda job=job: JobFacts(job, "ibm", "queued"), heard.append)  # type: ignore[misc]
    follower.follow_by(lambda: JobFacts("here", "local", "running"), heard.append)
    eventually(lambda: len(heard) == 3)
    follower.close()
    assert "jobs still open: 2; follow them with: quantum-monitor watch-job" in caplog.text
    assert {"c1", "c2"} < set(caplog.text.split())
    assert "here" not in caplog.text.split()


def test_an_error_of_whoever_listens_stops_nothing(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, service: BraketService
) -> None:
    monkeypatch.delenv("QUANTUM_MONITOR_RAISE")
    service.tasks[TASK] = [task("QUEUED"), task("COMPLETED")]
    states: list[str] = []

    def listen(facts: JobFacts) -> None:
        states.append(facts.state)
        raise RuntimeError("of the listener's")

    follower.follow(AwsQuantumTask(TASK), listen)
    eventually(lambda: states == ["queued", "completed"])


def test_a_job_that_is_known_to_be_over_is_asked_no_more(follower: Follower) -> None:
    asked: list[float] = []

    def read() -> JobFacts:
        asked.append(time.monotonic())
        return JobFacts("a", "ibm", "queued")

    heard: list[JobFacts] = []
    stop = follower.follow_by(read, heard.append)
    eventually(lambda: len(asked) >= 3)
    stop()
    assert follower.open == 0
    before = len(asked)
    follower.follow_by(lambda: JobFacts("b", "local", "completed"), heard.append)
    eventually(lambda: heard[-1].job == "b")
    assert len(asked) <= before + 1  # one may have been on its way


def test_no_more_than_a_thousand_jobs_are_followed(follower: Follower) -> None:
    dropped = FAULTS.drops["jobs", "too_many"]
    for _ in range(1_002):
        follower.follow_by(lambda: JobFacts("a", "local", "queued"), lambda _: None)
    assert follower.open == 1_000
    assert FAULTS.drops["jobs", "too_many"] == dropped + 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_follows_nothing_of_its_parents(follower: Follower) -> None:
    follower.follow_by(lambda: JobFacts("a", "ibm", "queued"), lambda _: None)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            heard = threading.Event()
            inherited = follower.open
            follower.follow_by(lambda: JobFacts("b", "local", "completed"), lambda _: heard.set())
            os.write(writing, b"0" if inherited == 0 and heard.wait(30) else b"1")
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"0"
    os.close(reading)
    os.waitpid(child, 0)


def test_jobs_of_this_process_are_read_too() -> None:
    job = pytest.importorskip("qiskit_aer").AerSimulator().run(_bell(), shots=10)
    job.result()
    assert (read_job(job).provider, read_job(job).state) == ("local", "completed")
    local = LocalSimulator().run(Circuit().h(0), shots=10)
    assert (read_job(local).state, read_job(local).shots) == ("completed", 10)
    with pytest.raises(TypeError, match="object is no job"):
        read_job(object())


def test_a_task_is_found_by_its_arn_with_the_name_of_its_device(service: BraketService) -> None:
    service.tasks[TASK] = [task("QUEUED")]
    assert reader_of_job(TASK)().backend == "Forte-1"
    service.devices[DEVICE] = device(ionq())
    assert reader_of_job(TASK)().backend == "Forte 1"


def test_a_task_that_does_not_exist_is_unknown(service: BraketService) -> None:
    service.tasks[TASK] = [task("QUEUED")]
    with pytest.raises(UnknownJobError, match="Braket knows no such task"):
        reader_of_job(OTHER)()


def test_who_may_not_ask_is_told_how_to_sign_in(service: BraketService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.broken = (403, "AccessDeniedException")
    with pytest.raises(CannotFollowError, match="aws configure"):
        reader_of_job(TASK)()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CannotFollowError, match="aws configure"):
        reader_of_job(TASK)()


@pytest.mark.parametrize(
    ("identifier", "says"),
    [
        ("arn:aws:s3:::bucket", "is no quantum task"),
        ("arn:aws:braket:us-east-1:1:job/abc", "is no quantum task"),
        ("../../jobs", "neither an id"),
        ("", "neither an id"),
    ],
)
def test_what_can_be_no_job_is_said_at_once(identifier: str, says: str) -> None:
    with pytest.raises(CannotFollowError, match=says):
        reader_of_job(identifier)


def test_a_clock_that_is_behind_the_providers_makes_no_negative_times() -> None:
    facts: Any = JobFacts("a", "ibm", "queued", created=CREATED)
    assert facts.waited(now=CREATED - 5) == 0
    assert facts.waited(now=CREATED + 5) == 5
    assert JobFacts("a", "ibm", "running", created=CREATED).waited() is None


def test_a_job_of_the_program_that_waits_is_seen_by_the_alert_before_its_end(
    monkeypatch: pytest.MonkeyPatch, new_monitor: Callable[..., QuantumMonitor]
) -> None:
    with task_service(monkeypatch) as service:
        service.life = ("QUEUED",)  # since the first of January
        run = new_monitor(backend_poll_interval=0).start_run("a").active_run
        assert run is not None
        instrument("braket")
        try:
            task = AwsDevice(DEVICE).run(Circuit().h(0).cnot(0, 1), shots=1, poll_interval_seconds=0.01)
            limit = run.alerts.board.entries["queue_time_limit"].state
            eventually(lambda: limit.firing)
            assert limit.present == pytest.approx(time.time() - CREATED, abs=60)
            task.cancel()
            eventually(lambda: limit.present == 0.0)  # nobody waits any more
            assert +run.circuits["Forte 1"].executions == {"cancelled": 1}
        finally:
            uninstrument()
    gc.collect()
