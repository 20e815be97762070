"""What is read of Braket devices: the SDK's own objects, asking a service on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from braket.aws import AwsDevice
from braket.devices import LocalSimulator

from quantum_monitor import QuantumMonitor
from quantum_monitor.backends import BackendReading
from quantum_monitor.backends.reading import reader_of
from tests.backends import loopback_braket
from tests.backends.loopback_braket import DEVICE, BraketService, braket_service, device, ionq, iqm, rigetti
from tests.server_process import eventually


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[BraketService]:
    with braket_service(monkeypatch) as serving:
        yield serving


def _read(asked: Any) -> BackendReading:
    reader = reader_of(type(asked))
    assert reader is not None
    return reader(asked)


@pytest.mark.parametrize(
    ("capabilities", "rates", "t1", "t2"),
    [
        (ionq, {"1q": 0.0002, "2q": 0.01, "readout": 0.005}, 100.0, 1.0),
        (iqm, {"1q": 0.002, "2q": 0.015, "readout": 0.04}, 40e-6, 20e-6),
        (rigetti, {"1q": 0.002, "2q": 0.03, "readout": 0.06}, 20e-6, 30e-6),
    ],
)
def test_error_rates_and_times_are_read_from_each_vendors_form(
    service: BraketService, capabilities: Callable[[], dict[str, Any]], rates: dict[str, float], t1: float, t2: float
) -> None:
    service.devices[DEVICE] = device(capabilities())
    reading = _read(AwsDevice(DEVICE))
    assert dict(reading.error_rates) == pytest.approx(rates)
    assert reading.t1 == pytest.approx(t1)
    assert reading.t2 == pytest.approx(t2)
    assert reading.qubits == 36
    assert reading.calibration_time == 1767323045.5


def test_a_form_for_the_whole_device_is_read_and_an_unknown_unit_is_left_out(service: BraketService) -> None:
    fidelity = {"fidelity": 0.9, "median": 0.95, "unit": "fraction"}
    standardized = {
        "oneQubitProperties": {"0": {"oneQubitFidelity": [{"fidelity": 0.99, "unit": "fraction"}]}},
        "T1": {"value": 50.0, "unit": "ms"},
        "T2": {"value": 5.0, "unit": "fortnights"},
        "ReadoutFidelity": [{"fidelity": 0.98}],
        "TwoQubitGateFidelity": [fidelity],
    }
    service.devices[DEVICE] = device(ionq())
    asked = AwsDevice(DEVICE)
    service.devices[DEVICE] = device(loopback_braket.capabilities("aqt", standardized=standardized))
    reading = _read(asked)
    assert dict(reading.error_rates) == pytest.approx({"1q": 0.01, "2q": 0.05, "readout": 0.02})
    assert reading.t1 == pytest.approx(0.05)
    assert reading.t2 is None


@pytest.mark.parametrize(("normal", "pending"), [("7", 10), ("0", 3), (">4000", 4003), ("> 4000", 4003), ("many", 3)])
def test_a_queue_that_is_not_counted_to_its_end_is_at_least_that_long(
    service: BraketService, normal: str, pending: int
) -> None:
    service.devices[DEVICE] = device(ionq(), normal=normal)
    assert _read(AwsDevice(DEVICE)).pending_jobs == pending


def test_a_device_without_a_queue_has_no_number_of_jobs(service: BraketService) -> None:
    service.devices[DEVICE] = device(ionq())
    asked = AwsDevice(DEVICE)
    del service.devices[DEVICE]["deviceQueueInfo"]
    assert _read(asked).pending_jobs is None


@pytest.mark.parametrize(("status", "up"), [("ONLINE", True), ("OFFLINE", False), ("RETIRED", False)])
def test_a_device_is_up_while_it_is_online_and_the_object_stays_as_it_was(
    service: BraketService, status: str, up: bool
) -> None:
    service.devices[DEVICE] = device(ionq())
    asked = AwsDevice(DEVICE)
    properties = asked.properties
    service.devices[DEVICE] = device(ionq(), status=status)
    assert _read(asked).up is up
    assert asked.status == "ONLINE"
    assert asked.properties is properties


def test_a_service_that_refuses_is_no_device_that_is_down(service: BraketService) -> None:
    service.devices[DEVICE] = device(ionq())
    asked = AwsDevice(DEVICE)
    service.broken = (500, "InternalServiceException")
    with pytest.raises(Exception, match="InternalServiceException"):
        _read(asked)


def test_the_local_simulator_is_up() -> None:
    reading = _read(LocalSimulator())
    assert reading.up is True
    assert reading.pending_jobs is None
    assert reading.qubits == LocalSimulator().properties.paradigm.qubitCount


def test_a_service_that_hangs_delays_neither_the_program_nor_other_devices(service: BraketService) -> None:
    service.devices[DEVICE] = device(ionq())
    asked = AwsDevice(DEVICE)
    service.hung.set()
    monitor = QuantumMonitor(metrics_port=None)
    monitor.poll_backends(asked, LocalSimulator(), interval=0.05)
    eventually(lambda: LocalSimulator().name in monitor.hardware_status())
    assert "Forte 1" not in monitor.hardware_status()
    service.hung.clear()
    service.go_on.set()
    eventually(lambda: "Forte 1" in monitor.hardware_status())
    monitor.close()
