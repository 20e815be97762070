"""Polling backends of Qiskit and local simulators: what is read, and what hanging and raising ones do to the others."""

from __future__ import annotations

import gc
import logging
import os
import statistics
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from qiskit.providers.fake_provider import GenericBackendV2

from quantum_monitor import QuantumMonitor
from quantum_monitor.backends import BackendReading, Poller, rounds
from quantum_monitor.backends.moments import unix_time
from quantum_monitor.backends.reading import reader_of
from quantum_monitor.faults import FAULTS
from tests.server_process import eventually

aer = pytest.importorskip("qiskit_aer")


class Reports:
    """What a poller has reported."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, **told: Any) -> None:
        self.all.append((name, told))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [told for known, told in self.all if known == name]


class Named(GenericBackendV2):  # type: ignore[misc]  # untyped for mypy here
    """A backend with a name and a status of its own."""

    def __init__(self, name: str) -> None:
        super().__init__(2, seed=1)
        self.name = name
        self.asked = 0

    def status(self) -> Any:
        self.asked += 1
        return True


class Hanging(Named):
    """A backend that hangs when it is asked, the first time or a later one."""

    def __init__(self, name: str, time: int = 1) -> None:
        super().__init__(name)
        self.time = time
        self.go_on = threading.Event()

    def status(self) -> Any:
        super().status()
        if self.asked >= self.time:
            self.go_on.wait()
        return True


class Raising(Named):
    broken = True

    def status(self) -> Any:
        super().status()
        if self.broken:
            raise ConnectionError("no route to the provider")
        return True


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def poller(reports: Reports) -> Iterator[Poller]:
    made = Poller(reports, interval=0.05)
    yield made
    made.close()


def _read(backend: Any) -> BackendReading:
    reader = reader_of(type(backend))
    assert reader is not None
    return reader(backend)


def test_what_is_read_of_a_backend_are_the_medians_of_its_target() -> None:
    backend = GenericBackendV2(7, seed=5)
    reading = _read(backend)
    target = backend.target
    pairs: dict[frozenset[int], list[float]] = {}
    for qubits, known in target["cx"].items():
        pairs.setdefault(frozenset(qubits), []).append(known.error)
    readout = [known.error for known in target["measure"].values()]
    each = [[target[gate][(qubit,)].error for gate in ("x", "sx")] for qubit in range(7)]
    assert reading.name == backend.name
    assert reading.up is True
    assert reading.pending_jobs is None
    assert reading.qubits == 7
    assert reading.t1 == pytest.approx(statistics.median(q.t1 for q in target.qubit_properties))
    assert reading.t2 == pytest.approx(statistics.median(q.t2 for q in target.qubit_properties))
    assert reading.error_rates["1q"] == pytest.approx(statistics.median(min(errors) for errors in each))
    assert reading.error_rates["2q"] == pytest.approx(statistics.median(min(errors) for errors in pairs.values()))
    assert reading.error_rates["readout"] == pytest.approx(statistics.median(readout))


def test_a_simulator_is_up_and_nothing_is_made_up_of_it() -> None:
    assert _read(aer.AerSimulator()).told() == {"up": True, "qubits": aer.AerSimulator().target.num_qubits}


def test_a_simulator_with_the_noise_of_a_backend_has_its_times() -> None:
    backend = GenericBackendV2(3, seed=2)
    simulator = aer.AerSimulator.from_backend(backend)
    assert _read(simulator).t1 == _read(backend).t1


def test_a_backend_that_says_only_whether_it_is_up_is_believed() -> None:
    backend = Named("says yes")
    assert _read(backend).up is True


def test_what_was_polled_is_what_a_scrape_shows() -> None:
    backend = GenericBackendV2(5, seed=3)
    with QuantumMonitor(metrics_port=None) as monitor:
        monitor.poll_backends(backend, interval=0.05)
        eventually(lambda: backend.name in monitor.hardware_status())
        known = monitor.hardware_status()[backend.name]
        assert known["up"] == 1.0
        assert known["t1"] == _read(backend).t1
        assert known["error_rates"] == _read(backend).error_rates
        assert "utilization" not in known
        assert "pending_jobs" not in known
    monitor.close()


def test_a_backend_that_hangs_delays_no_other(poller: Poller, reports: Reports) -> None:
    hanging, quick = [Hanging(f"hangs {number}") for number in range(5)], Named("quick")
    poller.watch(*hanging, quick)
    eventually(lambda: all(backend.asked for backend in hanging))
    before = quick.asked
    eventually(lambda: quick.asked > before + 3)
    assert not any(reports.of(backend.name) for backend in hanging)
    assert [backend.asked for backend in hanging] == [1] * 5
    for backend in hanging:
        backend.go_on.set()
    eventually(lambda: all(reports.of(backend.name) for backend in hanging))


def test_backends_that_hang_later_delay_no_other(poller: Poller) -> None:
    hanging, quick = [Hanging(f"hangs {number}", time=3) for number in range(5)], Named("quick")
    poller.watch(*hanging, quick)
    eventually(lambda: all(backend.asked == 3 for backend in hanging))
    before = quick.asked
    eventually(lambda: quick.asked > before + 3)
    for backend in hanging:
        backend.go_on.set()


def test_it_is_said_of_a_backend_that_it_hangs(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rounds, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(rounds, "_LOOK_SECONDS", 0.05)
    hanging = Hanging("stuck")
    poller.watch(hanging)
    eventually(lambda: "stuck has not answered" in caplog.text)
    hanging.go_on.set()


def test_of_a_backend_that_cannot_be_asked_nothing_is_reported(
    poller: Poller, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    counted = FAULTS.errors["backends"]
    raising, other = Raising("far away"), Named("near")
    poller.watch(raising, other)
    eventually(lambda: raising.asked >= 5)
    assert reports.of("far away") == []
    assert FAULTS.errors["backends"] - counted >= 5
    assert caplog.text.count("no route to the provider") == 1
    assert caplog.text.count("could not be asked for its status 3 times in a row") == 1
    before = other.asked
    eventually(lambda: other.asked > before)
    raising.broken = False
    eventually(lambda: reports.of("far away"))
    assert reports.of("far away")[0]["up"] is True
    assert "the backend far away answers again" in caplog.text


def test_a_backend_that_cannot_be_asked_is_asked_less_and_less_often(poller: Poller) -> None:
    poller.interval = 60
    poller.watch(Raising("far away"))
    eventually(lambda: poller._watched["far away"]._failures == 1)
    assert [poller._watched["far away"].turn() for _ in range(7)] == [60, 60, 120, 240, 480, 600, 600]


def test_properties_that_cannot_be_read_leave_the_status(poller: Poller, reports: Reports) -> None:
    class WithoutTarget(Named):
        lost = False

        @property
        def target(self) -> Any:
            if self.lost:
                raise RuntimeError("no target today")
            return super().target

    backend = WithoutTarget("bare")
    backend.lost = True
    counted = FAULTS.errors["backends"]
    poller.watch(backend)
    eventually(lambda: reports.of("bare"))
    assert reports.of("bare")[0] == {"up": True}
    assert FAULTS.errors["backends"] > counted


def test_a_backend_that_was_only_noted_is_forgotten_with_its_object(poller: Poller, reports: Reports) -> None:
    backend = Named("passing")
    poller.note(backend)
    poller.note(backend)
    assert poller.watched == ["passing"]
    eventually(lambda: reports.of("passing"))
    del backend
    gc.collect()
    eventually(lambda: poller.watched == [])


def test_a_backend_that_was_asked_for_is_kept(poller: Poller, reports: Reports) -> None:
    poller.watch(Named("kept"))
    gc.collect()
    eventually(lambda: len(reports.of("kept")) >= 3)


def test_objects_of_one_name_are_asked_once(poller: Poller, reports: Reports) -> None:
    objects = [Named("one") for _ in range(20)]
    for backend in objects:
        poller.note(backend)
    eventually(lambda: len(reports.of("one")) >= 3)
    assert poller.watched == ["one"]
    assert sum(1 for backend in objects if backend.asked) == 1


def test_many_backends_are_polled_on_few_threads(poller: Poller, reports: Reports) -> None:
    backends = [Named(f"number {number}") for number in range(90)]
    poller.watch(*backends)
    eventually(lambda: all(len(reports.of(backend.name)) >= 2 for backend in backends))
    threads = [thread for thread in threading.enumerate() if thread.name == "quantum-monitor-backends"]
    assert len(threads) <= rounds.THREADS_AT_MOST


def test_beyond_a_hundred_backends_it_is_said_that_no_further_one_is_polled(
    poller: Poller, caplog: pytest.LogCaptureFixture
) -> None:
    poller.watch(*(Named(f"number {number}") for number in range(101)))
    assert len(poller.watched) == 100
    assert "no further one is" in caplog.text


def test_what_cannot_be_read_is_refused_or_passed_over(poller: Poller) -> None:
    with pytest.raises(ValueError, match="dict is no backend"):
        poller.watch(Named("fine"), {})
    assert poller.watched == []
    poller.note(object())
    poller.note({})
    assert poller.watched == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_an_interval_of_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="interval is"):
        Poller(lambda *_, **__: None, seconds)


def test_after_closing_nothing_is_asked_or_reported(reports: Reports) -> None:
    poller = Poller(reports, interval=0.02)
    quick, hanging = Named("quick"), Hanging("late")
    poller.watch(quick, hanging)
    eventually(lambda: quick.asked >= 2 and hanging.asked)
    poller.close()
    asked, reported = quick.asked, len(reports.all)
    hanging.go_on.set()
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "quantum-monitor-backends"])
    assert quick.asked <= asked + 1  # one may have been on its way
    assert len(reports.all) == reported


def test_a_closed_poller_can_be_asked_again(poller: Poller, reports: Reports) -> None:
    poller.watch(Named("again"))
    eventually(lambda: reports.all)
    poller.close()
    reports.all.clear()
    poller.watch(Named("again"))
    eventually(lambda: reports.of("again"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_polls_nothing_of_its_parents_and_can_poll_its_own(poller: Poller) -> None:
    poller.watch(Named("the parent's"))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            inherited = list(poller.watched)
            heard = threading.Event()
            poller._report = lambda *_, **__: heard.set()
            poller.watch(Named("the child's"))
            status = 0 if inherited == [] and heard.wait(30) else 2
        finally:
            os.write(writing, b"%d" % status)
            os._exit(status)
    os.close(writing)
    assert os.read(reading, 1) == b"0"
    os.close(reading)
    os.waitpid(child, 0)


def test_moments_are_read_in_the_forms_that_providers_write_them() -> None:
    new_year = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
    assert unix_time("2026-01-01T00:00:00Z") == new_year
    assert unix_time("2026-01-01T01:00:00+01:00") == new_year
    assert unix_time("2026-01-01 00:00:00") == new_year
    assert unix_time("2026-01-01T00:00:00.123456789Z") == pytest.approx(new_year + 0.123456789, abs=1e-6)
    assert unix_time(datetime(2026, 1, 1)) == new_year
    assert unix_time("2026-02-31T00:00:00Z") is None
    assert unix_time("yesterday") is None
    assert unix_time(None) is None


def test_the_example_of_the_page_polls() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
    names: dict[str, Any] = {"QuantumMonitor": QuantumMonitor}
    code = page.split("```python\n")[1].split("```")[0]
    exec(code.replace('QuantumMonitor("vqe-h2")', 'QuantumMonitor("vqe-h2", metrics_port=None)'), names)  # noqa: S102 - our own page
    monitor, backend = names["monitor"], names["backend"]
    eventually(lambda: backend.name in monitor.hardware_status())
    monitor.close()
