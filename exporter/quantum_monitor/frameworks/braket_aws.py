"""Amazon Braket at AWS: quantum tasks, from their creation to what the SDK tells its trackers of them.

A task passes `AwsQuantumTask.create` however it is sent: by itself, in a batch (from threads of the SDK's), or when a
batch tries again what has failed. From then on three tell how it gets on: the program, whose own questions the SDK's
tracker events repeat; the results, whose download brings the time that a simulator took; and our own questions in the
background, for tasks that nobody waits for.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from braket.aws import AwsDevice, AwsQuantumTask
from braket.tracking.tracking_context import deregister_tracker, register_tracker
from braket.tracking.tracking_events import _TaskCompletionEvent, _TaskStatusEvent

from quantum_monitor.backends import JobFacts
from quantum_monitor.backends.braket_jobs import read_task
from quantum_monitor.backends.moments import unix_time
from quantum_monitor.backends.reading import name_of
from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks import remote_jobs
from quantum_monitor.frameworks.braket import shots_of
from quantum_monitor.frameworks.executions import Batch, Work, begin, carried, enclosing, sent
from quantum_monitor.frameworks.patches import Patches

_RESULT_SECONDS = 10.0
_ON_THE_WAY = {"CREATED": "queued", "QUEUED": "queued", "RUNNING": "running"}
_OVER = {"COMPLETED": "success", "FAILED": "failed", "CANCELLED": "cancelled"}


def install(patches: Patches) -> None:
    """Count every task of the process."""
    _ROUTES.hook(patches)
    for name, around in _AROUND.items():
        patches.wrap_family(AwsDevice, name, around)
    _ROUTES.everywhere = patches


def watch(patches: Patches, thing: Any) -> bool:
    """Count the tasks of one device."""
    if not isinstance(thing, AwsDevice):
        return False
    _ROUTES.hook(patches)
    for name, around in _AROUND.items():
        patches.wrap_object(thing, name, around)
    return True


class _Routes:
    """Which tasks count, and whom for, whichever thread of the SDK's creates them."""

    def __init__(self) -> None:
        self.everywhere: Patches | None = None
        self.devices: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self.names: dict[str, str] = {}
        self.renew()
        self._hook = Patches()
        self._users = 0
        self._sessions: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child, where no call is under way."""
        self._lock = threading.RLock()
        self._calls: dict[str, list[Callable[..., Any]]] = {}

    def hook(self, patches: Patches) -> None:
        """Wrap the creation of tasks for as long as any of those who asked for it needs it."""
        with self._lock:
            if not self._users:
                self._hook = Patches()
                self._hook.wrap(AwsQuantumTask, "create", _create)
            self._users += 1
        patches.also_undo(self._unhook)

    def _unhook(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._hook.undo()

    def begin(self, device: Any, route: Callable[..., Any]) -> None:
        """A call on a device begins; the tasks that are created there until it ends take this route."""
        with self._lock:
            self.devices[device.arn] = device
            self.names[device.arn] = name_of(device)
            self._calls.setdefault(device.arn, []).append(route)

    def end(self, device: Any, route: Callable[..., Any]) -> None:
        """The call has ended."""
        with self._lock:
            self._calls[device.arn].remove(route)

    def of(self, session: Any, arn: str) -> Callable[..., Any] | None:
        """The route of a task that is about to be created; None where nobody counts it."""
        with self._lock:
            calls = self._calls.get(arn)
            if calls:
                device = self.devices.get(arn)
                if device is not None and session is not device.aws_session:
                    self._sessions[session] = calls[-1]  # a batch has one of its own, and may try again later
                return calls[-1]
            known = self._sessions.get(session)
            if known is not None:
                return known
            return _counted if self.everywhere is not None and self.everywhere.active else None


_ROUTES = _Routes()
os.register_at_fork(after_in_child=_ROUTES.renew)


def _through(original: Any, device: Any, *args: Any, **kwargs: Any) -> Any:
    """Around ``run`` and ``run_batch``: what this thread is inside of goes with the tasks to the SDK's threads."""
    route = carried(_counted)
    _ROUTES.begin(device, route)
    try:
        return original(device, *args, **kwargs)
    finally:
        _ROUTES.end(device, route)


def _batch_through(original: Any, device: Any, *args: Any, **kwargs: Any) -> Any:
    """The same for a batch, which is sent whole or, where a budget is enforced and does not last for it, not at all.

    One that broke off in the middle would have been paid for: Braket raises when all that was sent is over, without
    the results.
    """
    if enclosing() is None:
        whole = begin(_describe_batch, device, *args, **kwargs)
        if whole is not None and whole.aside:
            from quantum_monitor.costs import budget

            budget.give_back(whole.run, whole.aside)  # each task sets aside its own
    return _through(original, device, *args, **kwargs)


_AROUND = {"run": _through, "run_batch": _batch_through}


def _describe_batch(
    device: Any,
    task_specifications: Any,
    s3_destination_folder: Any = None,  # noqa: ARG001 - the order of Braket's
    shots: Any = None,
    *_: Any,
    inputs: Any = None,
    gate_definitions: Any = None,
    reservation_arn: str | None = None,
    **__: Any,
) -> Batch | None:
    if _reserved(reservation_arn):
        return None
    lengths = [
        len(given) for given in (task_specifications, inputs, gate_definitions) if isinstance(given, list | tuple)
    ]
    circuits = task_specifications if isinstance(task_specifications, list | tuple) else (task_specifications,)
    if len(circuits) == 1:
        circuits = tuple(circuits) * max(lengths, default=1)
    if shots is None:
        shots = AwsDevice.DEFAULT_SHOTS_QPU if "/qpu/" in device.arn else AwsDevice.DEFAULT_SHOTS_SIMULATOR
    each = shots if isinstance(shots, Sequence) else [shots_of(circuit, shots) for circuit in circuits]
    return Batch(name_of(device), circuits, each, local=False, priced_as=device.arn)


def _reserved(arn: str | None) -> bool:
    """Whether a task is part of a reservation, which is billed by itself."""
    return bool(arn or os.environ.get("AMZN_BRAKET_RESERVATION_TIME_WINDOW_ARN"))


def _create(original: Any, aws_session: Any, device_arn: str, *args: Any, **kwargs: Any) -> Any:
    route = _ROUTES.of(aws_session, device_arn)
    if route is None:
        return original(aws_session, device_arn, *args, **kwargs)
    return route(original, aws_session, device_arn, *args, **kwargs)


def _counted(original: Any, *args: Any, **kwargs: Any) -> Any:
    def follow(work: Work, task: Any) -> None:
        _TASKS.add(_Task(work, task, args[0]))

    return sent(_describe, follow, original, *args, **kwargs)


def _describe(
    aws_session: Any,  # noqa: ARG001 - the order of Braket's
    device_arn: str,
    task_specification: Any,
    s3_destination_folder: Any,  # noqa: ARG001
    shots: Any = None,
    *_: Any,
    reservation_arn: str | None = None,
    **__: Any,
) -> Batch:
    name = _ROUTES.names.get(device_arn) or device_arn.rsplit("/", 1)[-1]
    shots, device = shots_of(task_specification, shots), _ROUTES.devices.get(device_arn)
    known = {"reserved": 1.0} if _reserved(reservation_arn) else None
    return Batch(name, (task_specification,), shots, local=False, device=device, priced_as=device_arn, known=known)


class _Task:
    """A task that is not over."""

    def __init__(self, work: Work, task: Any, session: Any) -> None:
        self.arn: str = task.id
        self.work = work
        self._theirs = weakref.ref(task)
        self._ours = AwsQuantumTask(task.id, session)  # theirs remembers what it was told last: that is the program's
        self._running: float | None = None
        self._completed = math.inf

    def ask(self) -> JobFacts:
        """Ask the service. What a task took that is completed comes with its results, which are waited for a little.

        The service does not say when a task began to run, so nobody can tell for how long it ran.
        """
        facts = read_task(self._ours)  # the SDK tells its trackers, and so us
        if not facts.done:
            return facts
        waits = facts.state == "completed" and time.monotonic() - self._completed < _RESULT_SECONDS
        return replace(facts, running=self._running, finished=None, settled=not waits)

    def state(self, status: str) -> None:
        """Somebody has asked the service, and this is what it said."""
        state = _ON_THE_WAY.get(status)
        if state is not None:
            if state == "running" and self._running is None:
                self._running = time.time()
            self.work.state(state)
        elif status == "COMPLETED":
            self._completed = min(self._completed, time.monotonic())
        elif status in _OVER:
            self._finish(status)

    def result(self, status: str, milliseconds: float | None, reserved: bool) -> None:
        """Its results are there, with the time that a simulator took."""
        if reserved:
            self.work.note(reserved=1.0)
        self._finish(status, None if milliseconds is None else milliseconds / 1000)

    def _finish(self, status: str, seconds: float | None = None) -> None:
        # In this order: at the end of the following, what it knows is told, and that may be less.
        self.work.finish(_OVER.get(status, "failed"), seconds, queue_time=self._waited(seconds))
        remote_jobs.over(self.work)

    def _waited(self, seconds: float | None) -> float | None:
        """Seconds before it ran: all but the time that it took, or up to when it was first seen to run."""
        # What their object was told last; asking by its method might ask the service.
        told = getattr(self._theirs(), "_metadata", None) or {}
        created, ended = unix_time(told.get("createdAt")), unix_time(told.get("endedAt"))
        began = self._running if seconds is None or ended is None else ended - seconds
        return None if created is None or began is None else max(0.0, began - created)


class _Tasks:
    """The tasks that are not over: a tracker of the SDK's, registered while there are any."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child, whose tasks are the parent's to count."""
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}

    def add(self, task: _Task) -> None:
        """Hear of a task from now on."""
        with self._lock:
            self._tasks[task.arn] = task
            register_tracker(self)
        remote_jobs.follow_by(task.work, task.ask, lambda: self._remove(task))

    def _remove(self, task: _Task) -> None:
        with self._lock:
            if self._tasks.pop(task.arn, None) is not None and not self._tasks:
                deregister_tracker(self)

    def receive_event(self, event: Any) -> None:
        """What the SDK tells its trackers, in the thread that asked."""
        task = self._tasks.get(event.arn)
        try:
            if task is not None and isinstance(event, _TaskCompletionEvent):
                task.result(event.status, event.execution_duration, event.has_reservation_arn)
            elif task is not None and isinstance(event, _TaskStatusEvent):
                task.state(event.status)
        except Exception as error:  # noqa: BLE001 - the program asked, and is in the middle of its answer
            FAULTS.internal("instrumentation", error)


_TASKS = _Tasks()
os.register_at_fork(after_in_child=_TASKS.renew)
