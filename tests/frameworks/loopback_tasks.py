"""The part of AWS that sends quantum tasks, runs them and keeps their results, on loopback."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.backends.loopback_braket import DEVICE, REGION, BraketService, device, environment, ionq, task

QPU = DEVICE
SIMULATOR = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
CREATED, ENDED = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:10.000Z"

_RESULTS = re.compile(r"/bucket/(?P<folder>[^/]+)/results\.json")


class TaskService(BraketService):
    """Answers CreateQuantumTask and CancelQuantumTask, and has the results of tasks, too.

    Attributes:
        life: the statuses that a task that is sent goes through, one for each question.
        refuses: from which task on creation is refused; None: never.
        sent: bodies of the requests that created tasks.
        execution_duration: milliseconds that a simulator says it took.
    """

    def __init__(self) -> None:
        super().__init__()
        self.life: tuple[str, ...] = ("QUEUED", "RUNNING", "COMPLETED")
        self.refuses: int | None = None
        self.sent: list[dict[str, Any]] = []
        self.execution_duration = 2500
        self.devices[QPU] = device(ionq())
        self.devices[SIMULATOR] = {**device(ionq(), name="SV1"), "deviceArn": SIMULATOR, "deviceType": "SIMULATOR"}
        self._server.RequestHandlerClass = _with_writing(self, self._server.RequestHandlerClass)

    def create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Take a task."""
        if self.refuses is not None and len(self.sent) >= self.refuses:
            return 400, {"code": "ValidationException", "message": "not this one"}
        self.sent.append(asked)
        arn = f"arn:aws:braket:{REGION}:123456789012:quantum-task/{len(self.sent)}"
        self.tasks[arn] = [
            task(status, **({"endedAt": ENDED} if status in {"COMPLETED", "FAILED", "CANCELLED"} else {}))
            | {
                "quantumTaskArn": arn,
                "deviceArn": asked["deviceArn"],
                "shots": asked["shots"],
                "createdAt": CREATED,
                "outputS3Directory": str(len(self.sent)),
                "actionMetadata": {"actionType": "braket.ir.openqasm.program"},
                "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": "2", "queuePriority": "Normal"},
            }
            for status in self.life
        ]
        return 201, {"quantumTaskArn": arn}

    def cancel(self, arn: str) -> tuple[int, dict[str, Any]]:
        """Cancel a task."""
        self.tasks[arn] = [{**self.tasks[arn][0], "status": "CANCELLED", "endedAt": ENDED}]
        return 200, {"quantumTaskArn": arn, "cancellationStatus": "CANCELLING"}

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        found = _RESULTS.fullmatch(path)
        if found is None:
            return super()._answer(path)
        asked = self.sent[int(found["folder"]) - 1]
        return 200, _results(asked, self.execution_duration if asked["deviceArn"] == SIMULATOR else None)


def _with_writing(service: TaskService, reading: Any) -> type:
    class Handler(reading):  # type: ignore[misc]
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._say(*service.create(json.loads(body)))

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            path = urllib.parse.unquote(self.path)
            self._say(*service.cancel(path.removeprefix("/quantum-task/").removesuffix("/cancel")))

        def _say(self, status: int, answer: dict[str, Any]) -> None:
            service.asked += 1
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status >= 400:
                self.send_header("x-amzn-ErrorType", answer["code"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _results(asked: dict[str, Any], execution_duration: int | None) -> dict[str, Any]:
    """A result as Braket writes it to S3."""
    header = {"name": "braket.task_result", "version": "1"}
    additional: dict[str, Any] = {"action": json.loads(asked["action"])}
    if execution_duration is not None:
        additional["simulatorMetadata"] = {
            "braketSchemaHeader": {**header, "name": "braket.task_result.simulator_metadata"},
            "executionDuration": execution_duration,
        }
    return {
        "braketSchemaHeader": {**header, "name": "braket.task_result.gate_model_task_result"},
        "measurements": [[0, 0], [1, 1]],
        "measuredQubits": [0, 1],
        "taskMetadata": {
            "braketSchemaHeader": {**header, "name": "braket.task_result.task_metadata"},
            "id": "task",
            "shots": asked["shots"],
            "deviceId": asked["deviceArn"],
        },
        "additionalMetadata": additional,
    }


@contextmanager
def task_service(patch: pytest.MonkeyPatch) -> Iterator[TaskService]:
    """A service that this process asks."""
    service = TaskService()
    with service.serving():
        for name, value in {
            **environment(service),
            "AWS_ENDPOINT_URL_S3": service.url,
            "AMZN_BRAKET_OUT_S3_BUCKET": "bucket",
        }.items():
            patch.setenv(name, value)
        yield service
