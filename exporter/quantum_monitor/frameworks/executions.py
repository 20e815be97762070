"""Executions: how what a framework executes is noticed, and counted once however many layers it passes.

A wrapping hands its call to `observed`. The outermost layer counts: while it is inside the original function, layers
further in that run on the same thread find somebody there and only pass the call on. What continues on another thread
is carried there (`carried`), and what is only sent and comes back later (a job) is `Sent`.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

from quantum_monitor import observe, plugins
from quantum_monitor.facts import facts_of
from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks import destination
from quantum_monitor.frameworks.destination import sending_to, target
from quantum_monitor.frameworks.unseen import unseen
from quantum_monitor.names import label_value

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor
    from quantum_monitor.run import Run

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Batch(NamedTuple):
    """What a call executes.

    Attributes:
        backend: the name of the backend.
        circuits: the circuits, as `quantum_monitor.facts.facts_of` takes them.
        shots: of each circuit: a number, or a number for each; None where there are none (exact simulation).
        local: whether it runs on this machine, which costs nothing.
        device: the backend's object, where its status can be asked for.
        priced_as: what the provider's prices call the backend (an ARN); its name unless given.
        known: further fields of each circuit that are known before, such as ``reserved``.
    """

    backend: str
    circuits: Sequence[Any]
    shots: int | Sequence[int | None] | None = None
    local: bool = True
    device: Any = None
    priced_as: str | None = None
    known: Mapping[str, float] | None = None


Describe: TypeAlias = "Callable[..., Batch | None]"
"""Says what a call with these arguments executes; None: nothing that counts."""


Follow: TypeAlias = "Callable[[Work, R], None]"
"""Is told of a job that was sent, and sees to it that its work is finished when the job is."""


class _Here(threading.local):
    """What the present thread is inside of."""

    inside: Work | None = None


_HERE = _Here()
_SHARED_OUT = ("execution_time", "billed_time")
_label = lru_cache(maxsize=256)(label_value)


class Work:
    """Circuits that are being executed for a run.

    Exactly one of `finish` and `fail` counts them, once; whichever thread calls it.

    Attributes:
        run: the run that they belong to.
        batch: what is executed.
        began: when, on the clock of ``time.perf_counter``.
        facts: of each circuit, where they are known before.
        aside: money set aside for it where a budget is enforced, by currency.
        spent: seconds that it has taken from the program before it began.
    """

    __slots__ = ("_counted", "_extra", "_jobs", "aside", "batch", "began", "facts", "monitor", "run", "spent")

    def __init__(self, monitor: QuantumMonitor, run: Run, batch: Batch) -> None:
        self.monitor, self.run, self.batch = monitor, run, batch
        self.facts: list[Mapping[str, float]] | None = None
        self.aside: Mapping[str, float] = {}
        self._extra: dict[str, float] = {}
        self._counted = False
        self._jobs: str | None = None
        self.spent = 0.0
        self.began = time.perf_counter()

    def note(self, **fields: float | None) -> None:
        """What a layer further in knows of these circuits: ``queue_time``, ``billed_time``, ``execution_time``."""
        self._extra.update({name: value for name, value in fields.items() if value is not None})

    def state(self, state: str) -> None:
        """The job is ``queued`` or ``running``, and not finished yet: no step is made meanwhile, and none is missed."""
        with self.run.lock:  # the program and a follower may both have heard of it
            if not self._counted:
                before, self._jobs = self._jobs, state
                self.run.job(label_value(self.batch.backend), before, state)

    def finish(self, status: str = "success", seconds: float | None = None, **fields: float | None) -> None:
        """Count the circuits.

        Args:
            status: ``success``, ``failed`` or ``cancelled``.
            seconds: that they took, all of them; each is given the same share.
            **fields: further fields of all of them together: ``queue_time`` is the same for each, ``billed_time`` is
                shared out.
        """
        called_at = time.perf_counter()
        with self.run.lock:
            if self._counted:
                return
            self._counted = True
        try:
            if self._jobs is not None:
                self.run.job(label_value(self.batch.backend), self._jobs, None)
            if fields:
                self.note(**fields)
            if self.aside:
                self._count_for_money(status, seconds)
            else:
                self._count(status, seconds)
            if self._jobs is not None:  # it took its time, and somebody waits to hear
                self.run.take_in()
            self.run.spent("instrumentation", called_at - self.spent)
        except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
            FAULTS.internal("instrumentation", error)

    def fail(self, error: BaseException, seconds: float | None = None) -> None:
        """Count the circuits as failed; as cancelled where a person or the program stopped them."""
        self.finish("failed" if isinstance(error, Exception) else "cancelled", seconds)

    def _count_for_money(self, status: str, seconds: float | None) -> None:
        """Another thread that asks what is left finds the money set aside, or spent, and never both or none."""
        from quantum_monitor.costs import budget

        with self.run.lock:
            try:
                self._count(status, seconds)
                self.run.take_in()
            finally:
                budget.give_back(self.run, self.aside)

    def _count(self, status: str, seconds: float | None) -> None:
        run, batch = self.run, self.batch
        circuits = batch.circuits
        if not circuits or run.logs_executions:
            return
        if run.ended is not None:
            FAULTS.dropped("executions", "run_ended", len(circuits))
            return
        if not run.instrumented:
            run.note_instrumented()
        facts = self.facts or facts_of_all(circuits)
        shared = self._shared(seconds)
        backend = _label(batch.backend)
        for circuit, known, number in zip(circuits, facts, _shots_of_each(batch), strict=False):
            fields = {**known, **shared}
            if number is not None and status == "success":
                fields["shots"] = float(number)
            currency = "USD"
            if not batch.local or self.monitor.price_tables is not None:
                price = _price(self.monitor, batch, fields, status)
                if price is not None:
                    fields["cost"], currency = price
            run.execution_soon(fields, backend=backend, status=status, currency=currency, cost_kind="estimated")
            if plugins.CIRCUIT:
                observe.custom(run, None, plugins.evaluate("circuit", circuit))

    def _shared(self, seconds: float | None) -> dict[str, float]:
        """The fields that are the same for each circuit."""
        number = len(self.batch.circuits)
        shared = dict(self.batch.known or {})
        if seconds is not None:
            shared["execution_time"] = seconds / number
        for name, value in self._extra.items():
            shared[name] = value / number if name in _SHARED_OUT else value
        return shared


@unseen
def observed(describe: Describe, original: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of a framework that executes circuits and comes back when they are done.

    Args:
        describe: says what it executes, from the same arguments.
        original: the function.
        *args: its arguments.
        **kwargs: likewise.

    Returns:
        What it returned, as it is; what it raises goes through.

    Raises:
        BudgetExceeded: before anything is executed, where the settings ask for it.
    """
    if _HERE.inside is not None:
        return original(*args, **kwargs)
    work = begin(describe, *args, **kwargs)
    if work is None:
        return original(*args, **kwargs)
    began = work.began
    try:  # from here on: Ctrl-C may come at any call, and a mark that stays would hide all that follows
        _HERE.inside = work
        result = original(*args, **kwargs)
    except BaseException as error:
        work.fail(error, time.perf_counter() - began)
        raise
    finally:
        _HERE.inside = None
    work.finish("success", time.perf_counter() - began)
    return result


def observed_one_by_one(
    describe: Describe, original: Callable[P, Iterator[T]], /, *args: P.args, **kwargs: P.kwargs
) -> Iterator[T]:
    """Go through a generator of results: each is counted as it comes, with the time that it took to come.

    ``describe`` is asked for each result, and says what one of them is. What a generator that is abandoned half-way
    never made is not counted.
    """
    monitor = destination.of_this_thread()

    def one() -> Work | None:
        with sending_to(monitor):
            return begin(describe, *args, **kwargs)

    return _one_by_one(one, original(*args, **kwargs))


@unseen
def _one_by_one(one: Callable[[], Work | None], results: Iterator[T]) -> Iterator[T]:
    while True:
        outer = _HERE.inside
        work = one() if outer is None else None
        began = time.perf_counter()
        try:
            _HERE.inside = outer or work
            result = next(results)
        except StopIteration:
            return
        except BaseException as error:
            if work is not None:
                work.fail(error, time.perf_counter() - began)
            raise
        finally:
            _HERE.inside = outer
        if work is not None:
            work.finish("success", time.perf_counter() - began)
        yield result


@unseen
def sent(
    describe: Describe,
    follow: Callable[[Work, R], None],
    original: Callable[P, R],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Call a function of a framework that sends a job and comes back at once.

    Args:
        describe: as for `observed`.
        follow: is told of the job that was sent.
        original: the function.
        *args: its arguments.
        **kwargs: likewise.

    Raises:
        BudgetExceeded: before anything is sent, where the settings ask for it.
    """
    if _HERE.inside is not None:
        return original(*args, **kwargs)
    work = begin(describe, *args, **kwargs)
    if work is None:
        return original(*args, **kwargs)
    try:
        _HERE.inside = work
        job = original(*args, **kwargs)
    except BaseException as error:
        work.fail(error)
        raise
    finally:
        _HERE.inside = None
    try:
        follow(work, job)
    except Exception as error:  # noqa: BLE001 - the job is on its way, whatever happens in here
        FAULTS.internal("instrumentation", error)
    return job


def enclosing() -> Work | None:
    """What the present thread is inside of: a layer further in may add what it knows, by ``note``."""
    return _HERE.inside


def carried(function: Callable[P, R], work: Work | None = None) -> Callable[P, R]:
    """A function that is to run on another thread, inside of what this thread (or ``work``) is."""
    inside = _HERE.inside if work is None else work
    monitor = destination.of_this_thread()

    @unseen
    @functools.wraps(function)
    def carrying(*args: P.args, **kwargs: P.kwargs) -> R:
        before, _HERE.inside = _HERE.inside, inside
        try:
            with sending_to(monitor):
                return function(*args, **kwargs)
        finally:
            _HERE.inside = before

    return carrying


@unseen
def within(work: Work, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function inside of a work, on whichever thread this is."""
    before, _HERE.inside = _HERE.inside, work
    try:
        return function(*args, **kwargs)
    finally:
        _HERE.inside = before


def begin(describe: Describe, *args: Any, **kwargs: Any) -> Work | None:
    """The work that a call is about to do; None where nobody counts it.

    Raises:
        BudgetExceeded: it would cost more than is left, and the settings ask for it.
    """
    called_at = time.perf_counter()
    try:
        monitor, run = target()
        if monitor is None or run is None or run.logs_executions:
            return None
        batch = describe(*args, **kwargs)
        if batch is None:
            return None
        work = Work(monitor, run, batch)
        if batch.device is not None:
            monitor.note_backend(batch.device)
    except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
        FAULTS.internal("instrumentation", error)
        return None
    if run.settings.enforce_budget and (not batch.local or monitor.price_tables is not None):
        _set_money_aside(work)
    work.began = began = time.perf_counter()
    work.spent = began - called_at
    return work


def facts_of_all(circuits: Sequence[Any]) -> list[Mapping[str, float]]:
    """The facts of each circuit."""
    if len(circuits) == 1:
        return [facts_of(circuits[0])]
    known = {number: facts_of(circuit) for number, circuit in {id(each): each for each in circuits}.items()}
    return [known[id(circuit)] for circuit in circuits]  # a sweep executes one circuit many times


def _shots_of_each(batch: Batch) -> Sequence[int | None]:
    shots = batch.shots
    return shots if isinstance(shots, Sequence) else (shots,) * len(batch.circuits)


def _price(monitor: QuantumMonitor, batch: Batch, fields: Mapping[str, float], status: str) -> tuple[float, str] | None:
    """What the prices say of an execution; on this machine, those of the user's own tables only."""
    from quantum_monitor import costs

    priced_as = batch.priced_as or batch.backend
    failed = status != "success"
    return costs.price_of(priced_as, fields, failed=failed, local=batch.local, tables=monitor.price_tables)


def _set_money_aside(work: Work) -> None:
    """Raise BudgetExceeded if what these circuits are estimated to cost is more than what is left."""
    from quantum_monitor.costs import budget

    batch = work.batch
    try:
        work.facts = facts_of_all(batch.circuits)
        fields = [
            {**known, **(batch.known or {}), **({} if number is None else {"shots": float(number)})}
            for known, number in zip(work.facts, _shots_of_each(batch), strict=False)
        ]
        priced_as, tables = batch.priced_as or batch.backend, work.monitor.price_tables
        label, local = batch.backend, batch.local
        work.aside = budget.set_aside(work.run, priced_as, fields, tables, label=label, local=local)
    except budget.BudgetExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
        FAULTS.internal("instrumentation", error)
