"""JobFacts: what a provider says of a job, whichever provider's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from quantum_monitor.backends.moments import unix_time
from quantum_monitor.names import label_value, text

JobState = Literal["queued", "running", "cancelling", "completed", "failed", "cancelled", "lost"]
"""Where a job is; ``lost`` where the provider knows no such job."""

_OVER = frozenset({"completed", "failed", "cancelled", "lost"})
_STATUS = {"completed": "success", "failed": "failed", "cancelled": "cancelled", "lost": "cancelled"}
_QISKIT_STATES: dict[str, JobState] = {
    "INITIALIZING": "queued",
    "VALIDATING": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "DONE": "completed",
    "ERROR": "failed",
    "CANCELLED": "cancelled",
}
_REASON_LENGTH = 500


class CannotFollowError(Exception):
    """A job cannot be asked for, and asking again would not help; the message says why and what to do."""


class UnknownJobError(CannotFollowError):
    """The provider knows no such job."""


@dataclass(frozen=True)
class JobFacts:
    """What a provider says of a job; None for what it does not say, or not yet. Times are Unix times in seconds.

    Attributes:
        job: the provider's id, or ARN.
        provider: ``ibm``, ``braket``, or ``local`` for what lives in this process.
        state: where it is.
        backend: the name of the backend.
        device: what the provider calls the backend in its prices: an ARN, or the name again.
        created: when it was sent.
        running: when it began to run.
        finished: when it ended, in whichever way.
        billed: seconds that the provider bills.
        settled: whether that is its last word on what it bills.
        shots: shots asked for.
        error: why it failed, as the provider says it.
    """

    job: str
    provider: Literal["ibm", "braket", "local"]
    state: JobState
    backend: str | None = None
    device: str | None = None
    created: float | None = None
    running: float | None = None
    finished: float | None = None
    billed: float | None = None
    settled: bool = True
    shots: int | None = None
    error: str | None = None

    @property
    def done(self) -> bool:
        """Whether nothing further happens to it."""
        return self.state in _OVER

    @property
    def status(self) -> str:
        """How it ended, as a circuit's execution: ``success``, ``failed`` or ``cancelled``; of an open one, failed."""
        return _STATUS.get(self.state, "failed")

    @property
    def queue_time(self) -> float | None:
        """Seconds from sending it to its beginning to run."""
        return _between(self.created, self.running)

    @property
    def execution_time(self) -> float | None:
        """Seconds that it ran."""
        return _between(self.running, self.finished)

    def waited(self, now: float | None = None) -> float | None:
        """Seconds that it has been waiting for up to now, by this machine's clock; None unless it is queued."""
        if self.state != "queued":
            return None
        return _between(self.created, time.time() if now is None else now)

    def fields(self) -> dict[str, float]:
        """What is known of its execution: ``queue_time``, ``execution_time``, ``billed_time`` and ``shots``."""
        known = {
            "queue_time": self.queue_time,
            "execution_time": self.execution_time,
            "billed_time": self.billed,
            "shots": None if self.shots is None or self.state != "completed" else float(self.shots),
        }
        return {name: value for name, value in known.items() if value is not None}


ReadJob: TypeAlias = Callable[[], JobFacts]


def read_job(job: Any) -> JobFacts:
    """Ask the provider of a job how it is; for a job elsewhere that is a network call or two.

    Args:
        job: of IBM Runtime (its local mode included), Qiskit, or Braket.

    Raises:
        TypeError: a job of another kind.
        Exception: whatever the provider's package raises.
    """
    modules = {base.__module__.split(".")[0] for base in type(job).__mro__}
    if "braket" in modules:
        from quantum_monitor.backends.braket_jobs import read_task

        return read_task(job)
    if callable(getattr(job, "metrics", None)) and callable(getattr(job, "job_id", None)):
        return _runtime_job(job)
    if callable(getattr(job, "job_id", None)) and callable(getattr(job, "status", None)):
        name = _backend_name(job)
        return JobFacts(text(job.job_id()), "local", _state(job.status()), name, name)
    raise TypeError(f"{type(job).__name__} is no job of IBM Runtime, Qiskit or Braket")


def _runtime_job(job: Any) -> JobFacts:
    """A job of IBM Runtime; before it runs there is nothing to be measured, which saves a call."""
    state = _state(job.status())
    metrics = {} if state == "queued" else job.metrics()
    times = metrics.get("timestamps") or {}
    billed, settled = _billed(metrics)
    local = type(job).__name__ == "LocalRuntimeJob"
    name = _backend_name(job)
    return JobFacts(
        job=text(job.job_id()),
        provider="local" if local else "ibm",
        state=state,
        backend=name,
        device=name,
        created=unix_time(times.get("created")) or _timestamp(job.creation_date),
        running=unix_time(times.get("running")),
        finished=unix_time(times.get("finished")),
        billed=billed if state in _OVER else None,
        settled=settled or state not in {"completed", "failed"},
        error=_reason(job.error_message()) if state == "failed" else None,
    )


def _state(status: Any) -> JobState:
    """The state behind a status, which is a word or a member of Qiskit's ``JobStatus``."""
    word = status if isinstance(status, str) else getattr(status, "name", status)
    state = _QISKIT_STATES.get(text(word).upper())
    if state is None:
        raise ValueError(f"the job's status is {text(word)!r:.100}, which nobody knows here")
    return state


def _billed(metrics: Any) -> tuple[float | None, bool]:
    """Seconds on the quantum processor, and whether that is the last word; older services said it elsewhere."""
    usage = metrics.get("usage") or {}
    if usage.get("status") == "pending":
        return None, False
    for seconds in (
        usage.get("qpu_charge_time_seconds"),
        usage.get("quantum_seconds"),
        (metrics.get("bss") or {}).get("seconds"),
    ):
        if isinstance(seconds, (int, float)) and seconds >= 0:
            return float(seconds), True
    return None, True


def _backend_name(job: Any) -> str | None:
    # Not ``backend()``: where the service has not named one yet, it waits until the job is over.
    backend = getattr(job, "_backend", None)
    name = getattr(backend, "name", None)
    name = name() if callable(name) else name
    return label_value(name) if name else None


def _timestamp(moment: Any) -> float | None:
    return None if moment is None else float(moment.timestamp())


def _reason(told: Any) -> str | None:
    return text(told).strip()[:_REASON_LENGTH] if told else None


def _between(earlier: float | None, later: float | None) -> float | None:
    """Seconds between two moments; 0 where two clocks disagree about which came first."""
    return None if earlier is None or later is None else max(0.0, later - earlier)
