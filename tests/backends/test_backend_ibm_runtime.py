"""IBM Runtime: its fakes, its local mode, and its real client asking a service on loopback."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

from quantum_monitor.backends import BackendReading, CannotFollowError, JobFacts, UnknownJobError, read_job
from quantum_monitor.backends.lookup import reader_of_job
from quantum_monitor.backends.reading import reader_of
from quantum_monitor.cli import main
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.backends.loopback_ibm import BACKEND, JOB, RuntimeService

runtime = pytest.importorskip("qiskit_ibm_runtime")
FakeManilaV2 = pytest.importorskip("qiskit_ibm_runtime.fake_provider").FakeManilaV2

CREATED = 1767225600.123456


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[RuntimeService]:
    fake = FakeManilaV2()
    folder = Path(fake.dirname)
    with RuntimeService().serving(monkeypatch) as serving:
        serving.answers |= {
            "/backends": {"devices": [{"name": BACKEND}]},
            f"/backends/{BACKEND}/configuration": {
                **json.loads((folder / fake.conf_filename).read_text()),
                "backend_name": BACKEND,
            },
            f"/backends/{BACKEND}/properties": json.loads((folder / fake.props_filename).read_text()),
            f"/backends/{BACKEND}/status": {"state": True, "status": "active", "length_queue": 12},
        }
        yield serving


def _read(backend: Any) -> BackendReading:
    reader = reader_of(type(backend))
    assert reader is not None
    return reader(backend)


def test_a_fake_backend_is_read_as_its_properties_say() -> None:
    fake = FakeManilaV2()
    properties = fake.properties()
    reading = _read(fake)
    assert reading.up is True
    assert reading.pending_jobs == 0
    assert reading.volume == 32
    assert reading.t1 == pytest.approx(statistics.median(properties.t1(qubit) for qubit in range(5)))
    assert reading.t2 == pytest.approx(statistics.median(properties.t2(qubit) for qubit in range(5)))
    readout = [properties.readout_error(qubit) for qubit in range(5)]
    assert reading.error_rates["readout"] == pytest.approx(statistics.median(readout))
    pairs = [properties.gate_error("cx", [qubit, qubit + 1]) for qubit in range(4)]
    assert reading.error_rates["2q"] == pytest.approx(statistics.median(pairs))
    assert reading.calibration_time == properties.last_update_date.timestamp()


def test_a_new_calibration_is_read_and_the_programs_target_stays(service: RuntimeService) -> None:
    backend = runtime.QiskitRuntimeService().backend(BACKEND)
    target = backend.target
    reader = reader_of(type(backend))
    assert reader is not None
    before = reader(backend)
    properties = service.answers[f"/backends/{BACKEND}/properties"]
    properties["last_update_date"] = "2026-01-01T00:00:00Z"
    for qubit in properties["qubits"]:
        for value in qubit:
            value["value"] *= 2 if value["name"] == "T1" else 1
    after = reader(backend)
    assert before.pending_jobs == 12
    assert before.t1 is not None
    assert after.t1 == pytest.approx(2 * before.t1)
    assert after.t2 == before.t2
    assert after.calibration_time == 1767225600.0
    assert backend.target is target


def test_a_backend_that_takes_no_jobs_is_down(service: RuntimeService) -> None:
    backend = runtime.QiskitRuntimeService().backend(BACKEND)
    service.answers[f"/backends/{BACKEND}/status"]["state"] = False
    assert _read(backend).up is False


def test_a_job_is_read_from_the_queue_to_its_bill(service: RuntimeService) -> None:
    service.job("Queued")
    read = reader_of_job(JOB)
    assert read() == JobFacts(JOB, "ibm", "queued", BACKEND, BACKEND, created=CREATED)
    service.job("Completed")
    service.metrics(status="pending")
    waiting = read()
    assert (waiting.state, waiting.settled, waiting.billed) == ("completed", False, None)
    service.metrics(status="complete", qpu_charge_time_seconds=3)
    settled = read()
    assert settled.settled
    assert settled.fields() == pytest.approx(
        {"queue_time": 3600.0, "execution_time": 12.0, "billed_time": 3.0}, abs=1e-5
    )


def test_an_older_form_of_the_bill_is_read(service: RuntimeService) -> None:
    service.job("Completed")
    service.metrics(quantum_seconds=2.5)
    assert reader_of_job(JOB)().billed == 2.5


def test_a_job_that_failed_says_why(service: RuntimeService) -> None:
    service.job("Failed", reason="the fridge is warm")
    service.metrics(status="complete", qpu_charge_time_seconds=0)
    service.answers[f"/jobs/{JOB}/results"] = "nothing"
    facts = reader_of_job(JOB)()
    assert facts.state == "failed"
    assert "the fridge is warm" in str(facts.error)


def test_a_job_that_does_not_exist_is_unknown(service: RuntimeService) -> None:
    assert service.answers
    with pytest.raises(UnknownJobError, match="knows no such job"):
        reader_of_job("d1nothere")()


def test_who_has_no_account_is_told_how_to_get_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    with pytest.raises(CannotFollowError, match="save_account"):
        reader_of_job(JOB)()


@pytest.mark.filterwarnings("ignore:The SamplerV2 class is deprecated:DeprecationWarning")
def test_a_job_of_the_local_mode_is_read_like_one_of_the_service() -> None:
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    job = runtime.SamplerV2(mode=FakeManilaV2()).run([circuit], shots=10)
    job.result()
    facts = read_job(job)
    assert (facts.provider, facts.state, facts.backend, facts.billed) == ("local", "completed", "fake_manila", 0.0)
    assert facts.queue_time is not None
    assert facts.execution_time is not None


def test_watch_job_logs_what_ibm_bills(service: RuntimeService) -> None:
    service.job("Completed")
    service.metrics(status="complete", qpu_charge_time_seconds=3)
    assert main(["watch-job", JOB, "--port", "0", "--storage", "kept"]) == 0
    (directory,) = find_runs(Path("kept"))
    run = StoredRun(directory)
    ((_, record),) = [found for found in run.records(kinds={"circuit"}) if "status" in found[1].labels]
    assert run.info["name"] == JOB
    assert record.labels["backend"] == BACKEND
    assert record.fields["billed_time"] == 3.0
    assert record.fields["queue_time"] == pytest.approx(3600.0)
