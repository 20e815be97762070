"""What Amazon Braket says of a quantum task."""

from __future__ import annotations

from typing import Any

from quantum_monitor.backends.jobs import JobFacts, JobState
from quantum_monitor.backends.moments import unix_time
from quantum_monitor.names import label_value, text

_STATES: dict[str, JobState] = {
    "CREATED": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "CANCELLING": "cancelling",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}


def read_task(task: Any) -> JobFacts:
    """Ask for a task, once; one of the local simulator is over when it is there.

    The service does not say when a task began to run: ``running`` is None, and whoever follows the task sees it.

    Raises:
        Exception: whatever the service raises.
    """
    if not text(task.id).startswith("arn:"):
        shots = getattr(getattr(task.result(), "task_metadata", None), "shots", None)
        return JobFacts(text(task.id), "local", _STATES[task.state()], shots=shots)
    told = task.metadata()
    device = text(told["deviceArn"])
    state = _STATES[told["status"]]
    return JobFacts(
        job=text(task.id),
        provider="braket",
        state=state,
        backend=label_value(device.rsplit("/", 1)[-1]),
        device=device,
        created=unix_time(told.get("createdAt")),
        finished=unix_time(told.get("endedAt")),
        shots=told.get("shots"),
        error=text(told.get("failureReason") or "no reason given")[:500] if state == "failed" else None,
    )
