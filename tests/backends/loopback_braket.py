"""The part of the Braket service that its SDK asks for devices and tasks, on loopback."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

REGION = "us-east-1"
DEVICE = f"arn:aws:braket:{REGION}::device/qpu/ionq/Forte-1"
TASK = f"arn:aws:braket:{REGION}:123456789012:quantum-task/5a3d9a2e-0d4c-4f0b-9d53-1c2f6a2d7c11"

_HEADERS = "braket.device_schema"


class BraketService:
    """Answers GetDevice and GetQuantumTask.

    Attributes:
        devices: ARN to what GetDevice answers.
        tasks: ARN to what GetQuantumTask answers; a list is answered one after the other, its last for ever.
        broken: an error code that everything is answered with, or None.
        hung: while set, nothing is answered.
        asked: number of requests.
    """

    def __init__(self) -> None:
        self.devices: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, list[dict[str, Any]]] = {}
        self.broken: tuple[int, str] | None = None
        self.hung = threading.Event()
        self.go_on = threading.Event()
        self.asked = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked += 1
                if service.hung.is_set():
                    service.go_on.wait()
                status, answer = service._answer(urllib.parse.unquote(urllib.parse.urlsplit(self.path).path))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status != 200:
                    self.send_header("x-amzn-ErrorType", answer["code"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        if self.broken is not None:
            return self.broken[0], {"code": self.broken[1], "message": "broken on purpose"}
        kind, _, arn = path.lstrip("/").partition("/")
        if kind == "device" and arn in self.devices:
            return 200, self.devices[arn]
        if kind == "quantum-task" and arn in self.tasks:
            answers = self.tasks[arn]
            return 200, answers.pop(0) if len(answers) > 1 else answers[0]
        return 404, {"code": "ResourceNotFoundException", "message": f"no {kind} here"}

    @contextmanager
    def serving(self) -> Iterator[BraketService]:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            self.go_on.set()
            self._server.shutdown()
            self._server.server_close()


def environment(service: BraketService) -> dict[str, str]:
    """What makes boto3 and the Braket SDK ask this service, with credentials that nobody has."""
    return {
        "AWS_ENDPOINT_URL_BRAKET": service.url,
        "BRAKET_ENDPOINT": service.url,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }


@contextmanager
def braket_service(patch: pytest.MonkeyPatch) -> Iterator[BraketService]:
    """A service that this process asks."""
    with BraketService().serving() as service:
        for name, value in environment(service).items():
            patch.setenv(name, value)
        yield service


def device(
    capabilities: Mapping[str, Any], *, name: str = "Forte 1", status: str = "ONLINE", normal: str = "7"
) -> dict[str, Any]:
    """An answer of GetDevice."""
    return {
        "deviceArn": DEVICE,
        "deviceName": name,
        "providerName": "IonQ",
        "deviceType": "QPU",
        "deviceStatus": status,
        "deviceCapabilities": json.dumps(capabilities),
        "deviceQueueInfo": [
            {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": normal, "queuePriority": "Normal"},
            {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "3", "queuePriority": "Priority"},
            {"queue": "JOBS_QUEUE", "queueSize": "0 (1 prioritized job(s) running)"},
        ],
    }


def task(status: str, **more: Any) -> dict[str, Any]:
    """An answer of GetQuantumTask."""
    return {
        "quantumTaskArn": TASK,
        "status": status,
        "deviceArn": DEVICE,
        "deviceParameters": "{}",
        "shots": 1000,
        "outputS3Bucket": "bucket",
        "outputS3Directory": "folder",
        "createdAt": "2026-01-01T00:00:00.000Z",
        **more,
    }


def _header(name: str, version: str = "1") -> dict[str, str]:
    return {"name": f"{_HEADERS}.{name}", "version": version}


def capabilities(vendor: str, **more: Any) -> dict[str, Any]:
    """Capabilities as Braket's schema has them."""
    return {
        "braketSchemaHeader": _header(f"{vendor}.{vendor}_device_capabilities"),
        "service": {
            "braketSchemaHeader": _header("device_service_properties"),
            "executionWindows": [
                {"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"},
            ],
            "shotsRange": [1, 10_000],
            "updatedAt": "2026-01-02T03:04:05.500000+00:00",
        },
        "action": {
            "braket.ir.openqasm.program": {
                "actionType": "braket.ir.openqasm.program",
                "version": ["1"],
                "supportedOperations": ["x", "cnot"],
                "supportedResultTypes": [],
            }
        },
        "paradigm": {
            "braketSchemaHeader": _header("gate_model_qpu_paradigm_properties"),
            "qubitCount": 36,
            "nativeGateSet": ["gpi"],
            "connectivity": {"fullyConnected": True, "connectivityGraph": {}},
        },
        "deviceParameters": {},
        **more,
    }


def ionq() -> dict[str, Any]:
    """IonQ: averages over the device."""
    fidelity = {"1Q": {"mean": 0.9998}, "2Q": {"mean": 0.99}, "spam": {"mean": 0.995}}
    timing = {"T1": 100.0, "T2": 1.0, "1Q": 1e-5, "2Q": 2e-4, "readout": 1.3e-4, "reset": 2e-5}
    provider = {"braketSchemaHeader": _header("ionq.ionq_provider_properties"), "fidelity": fidelity, "timing": timing}
    return capabilities("ionq", provider=provider)


def _benchmarked(fidelity: float, kind: str) -> dict[str, Any]:
    return {"fidelityType": {"name": kind}, "fidelity": fidelity, "unit": "fraction"}


def iqm() -> dict[str, Any]:
    """IQM: by qubit and pair, in Braket's own form."""
    qubits = {
        str(number): {
            "T1": {"value": t1, "unit": "us"},
            "T2": {"value": t1 / 2, "unit": "us"},
            "oneQubitFidelity": [
                _benchmarked(0.99, "SIMULTANEOUS_RANDOMIZED_BENCHMARKING"),
                _benchmarked(fidelity, "RANDOMIZED_BENCHMARKING"),
                _benchmarked(readout, "READOUT"),
            ],
        }
        for number, (t1, fidelity, readout) in enumerate(
            ((30.0, 0.999, 0.97), (40.0, 0.998, 0.96), (60.0, 0.995, 0.90))
        )
    }
    pairs = {
        pair: {"twoQubitGateFidelity": [{**_benchmarked(fidelity, "INTERLEAVED"), "gateName": "CZ"}]}
        for pair, fidelity in (("0-1", 0.99), ("1-2", 0.98))
    }
    standardized = {
        "braketSchemaHeader": _header("standardized_gate_model_qpu_device_properties"),
        "oneQubitProperties": qubits,
        "twoQubitProperties": pairs,
    }
    return capabilities("iqm", standardized=standardized)


def rigetti() -> dict[str, Any]:
    """Rigetti, before Braket had a form for all."""
    specs = {
        "1Q": {
            "0": {"T1": 1e-5, "T2": 2e-5, "f1QRB": 0.999, "fRO": 0.95},
            "1": {"T1": 3e-5, "T2": 4e-5, "f1QRB": 0.997, "fRO": 0.93},
        },
        "2Q": {"0-1": {"fCZ": 0.90, "fISWAP": 0.97, "Avg_T1": 2e-5}},
    }
    provider = {"braketSchemaHeader": _header("rigetti.rigetti_provider_properties"), "specs": specs}
    return capabilities("rigetti", provider=provider)
