"""Jobs of Qiskit: what was executed is counted when it ends on its worker thread, also where nobody asks for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import NoneType
from typing import Any

from qiskit.primitives import PrimitiveJob
from qiskit.providers import JobV1

from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks import remote_jobs
from quantum_monitor.frameworks.executions import Work, enclosing, within
from quantum_monitor.frameworks.patches import Patches


class Task:
    """A function that a job runs on a worker thread, as part of what is being executed.

    It may end before the call that sent it comes back, and only then is known whose job it is: both `ended_by` and the
    end of the function look for the other one.

    Attributes:
        future: of its result.
        arguments: what the function is called with.
        shots: that backends took on behalf of the function.
        outer: the task that sent this one.
    """

    __slots__ = ("_ending", "_function", "_inside", "_work", "arguments", "future", "outer", "shots")

    def __init__(self, function: Callable[..., Any], inside: Work, arguments: Sequence[Any]) -> None:
        self._function, self._inside = function, inside
        self._work: Work | None = None
        self.future: Any = None
        self._ending: tuple[float, BaseException | None, bool] | None = None
        self.arguments = arguments
        self.shots = 0
        self.outer = _HERE.task

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function, on whichever thread this is."""
        began = time.perf_counter()
        before, _HERE.task = _HERE.task, self
        error: BaseException | None = None
        try:
            result = within(self._inside, self._function, *args, **kwargs)
        except BaseException as raised:
            error, result = raised, None
            raise
        finally:
            _HERE.task = before
            self._ending = time.perf_counter() - began, error, error is None and _succeeded(result)
            if self._work is not None:
                self._finish(self._work, *self._ending)
        return result

    def ended_by(self, work: Work) -> None:
        """The end of the function is the end of this work; so is that of its future, if the function never runs."""
        self._work = work
        if self._ending is None:
            self.future.add_done_callback(self._over)
        if self._ending is not None:
            self._finish(work, *self._ending)

    def _over(self, future: Future[Any]) -> None:
        if self._ending is None and self._work is not None:
            _done(self._work, future)

    def _finish(self, work: Work, seconds: float, error: BaseException | None, success: bool) -> None:
        if self.shots and work.batch.shots is None and work.batch.circuits:
            circuits = len(work.batch.circuits)
            more = self.shots % circuits
            shares = [self.shots // circuits + (number < more) for number in range(circuits)]
            work.batch = work.batch._replace(shots=shares)
        if error is not None:
            work.fail(error, seconds)
        else:
            work.finish("success" if success else "failed", seconds)


class _Here(threading.local):
    """The task that the present thread runs, and the one that it handed to another thread last."""

    task: Task | None = None
    sent: Task | None = None


_HERE = _Here()
_THREADS = (ThreadPoolExecutor, NoneType)  # Aer's jobs may be sent to another process, by an executor of the user's


class _Hooks:
    """The places where Qiskit hands functions to worker threads; they do nothing outside of a work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._patches = Patches()

    def hold(self, patches: Patches) -> None:
        """Wrap them for as long as somebody's patches are not undone."""
        with self._lock:
            if not self._users:
                self._patches = Patches()
                self._patches.wrap(PrimitiveJob, "_submit", partial(_submit, "_function"))
                self._patches.wrap_family(JobV1, "submit", partial(_submit, "_fn"))
            self._users += 1
        patches.also_undo(self._release)

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._patches.undo()


HOOKS = _Hooks()


def task_of(job: Any) -> Task | None:
    """What a job, which this thread has just sent, runs on a worker thread."""
    task = _HERE.sent
    return task if task is not None and task.future is getattr(job, "_future", None) else None


def follow(work: Work, job: Any) -> None:
    """See to it that a work is finished when its job is."""
    task, _HERE.sent = _HERE.sent, None
    future = getattr(job, "_future", None)
    if task is not None and task.future is future is not None:
        task.ended_by(work)
    elif isinstance(future, Future):
        future.add_done_callback(partial(_done, work))
    elif remote_jobs.can_be_followed(job):
        remote_jobs.follow(work, job)
    elif getattr(job, "_async", True) is False or not callable(getattr(job, "result", None)):
        work.finish("success", time.perf_counter() - work.began)
    else:
        work.state("queued")
        _until_its_result(work, job)


def on_behalf(shots: Callable[[], int], original: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call the ``run`` of a backend within a work: where a task does, its shots are the task's, once for all layers.

    Args:
        shots: says how many it takes.
        original: the method.
        *args: its arguments.
        **kwargs: likewise.
    """
    task = _HERE.task
    if task is None:
        return original(*args, **kwargs)
    _HERE.task = None
    try:
        job = original(*args, **kwargs)
    finally:
        _HERE.task = task
    try:
        taken = shots()
        while task is not None:
            task.shots += taken
            task = task.outer
    except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
        FAULTS.internal("instrumentation", error)
    return job


def _submit(attribute: str, original: Callable[..., Any], job: Any, /, *args: Any, **kwargs: Any) -> Any:
    inside = enclosing()
    function = getattr(job, attribute, None)
    if inside is None or not callable(function) or not isinstance(getattr(job, "_executor", None), _THREADS):
        return original(job, *args, **kwargs)
    task = Task(function, inside, getattr(job, "_args", ()))
    setattr(job, attribute, task)
    try:
        sent = original(job, *args, **kwargs)
    finally:
        setattr(job, attribute, function)
    task.future = getattr(job, "_future", None)
    _HERE.sent = task
    return sent


def _done(work: Work, future: Future[Any]) -> None:
    """A job is over; where a task of ours ran it, it is counted already, unless it was cancelled before."""
    seconds = time.perf_counter() - work.began
    if future.cancelled():
        work.finish("cancelled")
    elif (error := future.exception()) is not None:
        work.fail(error, seconds)
    else:
        work.finish("success" if _succeeded(future.result()) else "failed", seconds)


def _until_its_result(work: Work, job: Any) -> None:
    """Finish a work when somebody has the result of its job: nothing else is known of such a job."""
    patches = Patches()
    began = time.perf_counter()

    def result(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            found = original(*args, **kwargs)
        except Exception as error:
            if not _is_impatience(error):
                patches.undo()
                work.fail(error, time.perf_counter() - began)
            raise
        patches.undo()
        work.finish("success" if _succeeded(found) else "failed", time.perf_counter() - began)
        return found

    try:
        patches.wrap_object(job, "result", result)
    except (AttributeError, TypeError) as error:  # it takes no attributes
        FAULTS.rejected("instrumentation", f"{type(job).__name__} cannot be followed: {error}")
        work.finish("success")


def _is_impatience(error: Exception) -> bool:
    """Whether only the waiting has ended, and the job goes on: every package has its own class for that."""
    return any("Timeout" in kind.__name__ for kind in type(error).__mro__)


def _succeeded(result: Any) -> bool:
    """A backend's result says itself whether its circuits failed; a primitive's raises."""
    return getattr(result, "success", True) is not False
