"""Executions: counted once, for the right run, whatever becomes of them; a plain function stands for a framework."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from quantum_monitor import QuantumMonitor, instrument, uninstrument
from quantum_monitor.activity import Activity
from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks import destination
from quantum_monitor.frameworks.destination import sending_to
from quantum_monitor.frameworks.executions import (
    Batch,
    Work,
    begin,
    carried,
    enclosing,
    observed,
    observed_one_by_one,
    sent,
)
from quantum_monitor.frameworks.patches import Patches
from quantum_monitor.process import OPEN

NewMonitor = Callable[..., QuantumMonitor]

CIRCUIT = {"gates": [{"name": "h", "qubits": [0]}, {"name": "cx", "qubits": [0, 1]}]}


def describe(*_: Any, shots: int | None = None, circuits: int = 1, **__: Any) -> Batch:
    return Batch("machine", (CIRCUIT,) * circuits, shots)


def execute(value: Any = 1, **_: Any) -> Any:
    """What the framework does."""
    return value


def run(value: Any = 1, **options: Any) -> Any:
    """What the program calls, wrapped."""
    return observed(describe, execute, value, **options)


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> QuantumMonitor:
    return new_monitor().start_run("a")


def machine(monitor: QuantumMonitor) -> Activity | None:
    found = monitor._last_run
    return None if found is None else found.circuits.get("machine")


def executed(monitor: QuantumMonitor) -> dict[str, int]:
    done = machine(monitor)
    return {} if done is None else {status: count for status, count in done.executions.items() if count}


def test_a_result_is_handed_on_as_it_is_and_counted(monitor: QuantumMonitor) -> None:
    result = object()
    assert run(result, shots=10) is result
    done = machine(monitor)
    assert done is not None
    assert (executed(monitor), done.shots, done.execution_time.count) == ({"success": 1}, 10, 1)


def test_each_circuit_of_a_batch_is_counted_with_its_share_of_the_time(monitor: QuantumMonitor) -> None:
    run(circuits=4, shots=5)
    done = machine(monitor)
    assert done is not None
    assert (executed(monitor), done.shots, done.execution_time.count) == ({"success": 4}, 20, 4)


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("no"), "failed"), (KeyboardInterrupt(), "cancelled")])
def test_an_exception_goes_through_as_it_is_and_is_counted(
    monitor: QuantumMonitor, error: BaseException, status: str
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        observed(describe, fail)
    assert raised.value is error
    assert executed(monitor) == {status: 1}
    assert enclosing() is None


def test_layers_further_in_are_not_counted_and_tell_what_they_know(monitor: QuantumMonitor) -> None:
    def inner() -> int:
        work = enclosing()
        assert work is not None
        work.note(billed_time=2.0, queue_time=None)
        return int(run())

    assert observed(describe, inner) == 1
    done = machine(monitor)
    assert done is not None
    assert (executed(monitor), done.billed_time, done.queue_time.count) == ({"success": 1}, 2.0, 0)


def test_other_threads_count_their_own_and_what_is_carried_there_does_not(monitor: QuantumMonitor) -> None:
    def outer() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(carried(run)).result()  # part of this
            pool.submit(run).result()  # somebody else's

    observed(describe, outer)
    assert executed(monitor) == {"success": 2}


def test_what_is_carried_goes_to_the_same_monitor(monitor: QuantumMonitor, new_monitor: NewMonitor) -> None:
    another = new_monitor("other").start_run("b")
    with sending_to(monitor):
        later = carried(run)
    later()
    assert (executed(monitor), executed(another)) == ({"success": 1}, {})


def test_results_that_come_one_by_one_are_counted_as_they_come(monitor: QuantumMonitor) -> None:
    def results() -> Iterator[int]:
        yield 1
        yield run(2)
        raise RuntimeError("no third")

    counted = observed_one_by_one(describe, results)
    assert executed(monitor) == {}
    assert next(counted) == 1
    assert executed(monitor) == {"success": 1}
    run()  # between two results: by itself
    assert next(counted) == 2
    assert executed(monitor) == {"success": 3}
    with pytest.raises(RuntimeError, match="no third"):
        next(counted)
    assert executed(monitor) == {"success": 3, "failed": 1}


def test_a_generator_abandoned_half_way_leaves_nothing_behind(monitor: QuantumMonitor) -> None:
    counted = observed_one_by_one(describe, lambda: iter(range(10)))
    next(counted)
    del counted
    assert enclosing() is None
    assert executed(monitor) == {"success": 1}


def test_a_job_is_counted_when_it_is_over_and_once(monitor: QuantumMonitor) -> None:
    works: list[Work] = []

    def follow(work: Work, job: Any) -> None:
        work.state("queued")
        works.append(work)
        assert job == "job"

    assert sent(describe, follow, execute, "job", shots=3) == "job"
    done = machine(monitor)
    assert done is not None
    assert (executed(monitor), done.jobs) == ({}, {"queued": 1})
    works[0].state("running")
    threads = [threading.Thread(target=works[0].finish, args=("success", 1.5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    works[0].fail(RuntimeError())
    works[0].state("running")
    assert (executed(monitor), done.jobs) == ({"success": 1}, {"queued": 0, "running": 0})
    assert done.execution_time.total == 1.5


def test_a_job_that_ends_when_its_framework_was_given_back_is_counted(monitor: QuantumMonitor) -> None:
    works: list[Work] = []
    instrument("braket", monitor=monitor)
    sent(describe, lambda work, _: works.append(work), execute)
    uninstrument()
    works[0].finish()
    assert executed(monitor) == {"success": 1}


def test_a_job_that_ends_after_its_run_is_dropped_and_that_is_counted(monitor: QuantumMonitor) -> None:
    works: list[Work] = []
    sent(describe, lambda work, _: works.append(work), execute)
    monitor.end_run()
    before = FAULTS.drops["executions", "run_ended"]
    works[0].finish()
    assert executed(monitor) == {}
    assert FAULTS.drops["executions", "run_ended"] == before + 1


def test_what_another_thread_brings_when_the_run_has_ended_is_dropped_and_that_is_counted(
    monitor: QuantumMonitor,
) -> None:
    current = monitor.active_run
    assert current is not None
    monitor.end_run()
    before = FAULTS.drops["executions", "run_ended"]
    current.execution_soon({}, backend="machine", status="success", currency="USD", cost_kind="estimated")
    assert FAULTS.drops["executions", "run_ended"] == before + 1
    assert executed(monitor) == {}


def test_between_two_runs_nothing_is_counted(monitor: QuantumMonitor) -> None:
    monitor.end_run()
    run()
    assert not monitor.is_running
    assert executed(monitor) == {}
    with monitor.start_run("b"):
        run()
    assert executed(monitor) == {"success": 1}


def test_a_program_that_logs_its_executions_itself_is_not_counted_twice(monitor: QuantumMonitor) -> None:
    run()
    monitor.log_circuit_execution(CIRCUIT, 1.0, backend_info="machine")
    run()
    assert executed(monitor) == {"success": 2}
    monitor.end_run()
    with monitor.start_run("b"):
        run()
    assert executed(monitor) == {"success": 1}


def test_of_two_monitors_the_active_one_constructed_last_counts(new_monitor: NewMonitor) -> None:
    first, second = new_monitor("first").start_run(), new_monitor("second").start_run()
    run()
    second.end_run()
    run()
    assert (executed(first), executed(second)) == ({"success": 1}, {"success": 1})


def test_the_monitor_that_was_named_counts(new_monitor: NewMonitor) -> None:
    first, second = new_monitor("first").start_run(), new_monitor("second").start_run()
    instrument("braket", monitor=first)
    run()
    uninstrument()
    run()
    assert (executed(first), executed(second)) == ({"success": 1}, {"success": 1})


def test_the_first_execution_begins_the_run_of_a_monitor_that_has_had_none(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    run()
    assert monitor.is_running
    assert executed(monitor) == {"success": 1}


def test_where_no_monitor_is_open_one_is_made_at_the_first_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTUM_MONITOR_METRICS_PORT", "0")
    instrument("braket")
    try:
        assert OPEN == []
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(run) for _ in range(8)]:
                done.result()
        assert len(OPEN) == 1
        assert executed(OPEN[0]) == {"success": 8}
    finally:
        uninstrument()
        for monitor in OPEN.copy():
            monitor.close()


def test_settings_that_cannot_be_used_cost_no_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTUM_MONITOR_METRICS_PORT", "many")
    instrument("braket")
    try:
        counted = FAULTS.errors["instrument"]
        assert run(5) == 5
        assert run(6) == 6
        assert FAULTS.errors["instrument"] == counted + 1
        assert OPEN == []
    finally:
        uninstrument()


def test_what_goes_wrong_in_here_stays_in_here(monitor: QuantumMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTUM_MONITOR_RAISE", "0")
    counted = FAULTS.errors["instrumentation"]

    def broken(*_: Any, **__: Any) -> Batch:
        raise RuntimeError("a bug of ours")

    def follow(*_: Any) -> None:
        raise RuntimeError("another")

    assert observed(broken, execute, 3) == 3
    assert list(observed_one_by_one(broken, lambda: iter([1]))) == [1]
    assert sent(describe, follow, execute, 4) == 4
    assert FAULTS.errors["instrumentation"] > counted
    assert executed(monitor) == {}


def test_what_describes_nothing_is_not_counted(monitor: QuantumMonitor) -> None:
    assert observed(lambda *_: None, execute, 3) == 3
    assert executed(monitor) == {}


def test_the_time_it_took_is_accounted(monitor: QuantumMonitor) -> None:
    run()
    current = monitor.active_run
    assert current is not None
    assert current.calls["instrumentation"][0] == 1
    assert current.calls["instrumentation"][1] > 0


def test_the_time_that_it_takes_to_look_at_a_call_is_accounted_too(monitor: QuantumMonitor) -> None:
    def slow(*_: Any) -> Batch:
        time.sleep(0.05)
        return describe()

    observed(slow, execute)
    current = monitor.active_run
    done = machine(monitor)
    assert current is not None
    assert done is not None
    assert current.calls["instrumentation"][1] >= 0.05
    assert done.execution_time.total < 0.05


def test_ctrl_c_in_the_middle_of_ours_hides_no_later_execution(monitor: QuantumMonitor) -> None:
    def interrupt(number: int) -> bool:
        """Press it at this call of a built-in function in `observed`; whether there are so many."""
        left = iter(range(number, -1, -1))

        def pressed(frame: FrameType, event: str, _: Any) -> None:
            if event == "c_call" and frame.f_code is observed.__code__ and not next(left, 1):
                raise KeyboardInterrupt

        sys.setprofile(pressed)
        try:
            run()
        except KeyboardInterrupt:
            return True
        finally:
            sys.setprofile(None)
        return False

    pressed = 0
    while interrupt(pressed):
        assert enclosing() is None
        pressed += 1
    assert pressed > 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_counts_nothing_unless_it_has_a_monitor_of_its_own(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    child = os.fork()
    if not child:
        try:
            run()
            inert = executed(monitor) == {} and len(OPEN) == 1
            own = QuantumMonitor("child", metrics_port=None, enable_mlflow=False)
            run()
            counts = executed(own) == {"success": 1} and executed(monitor) == {}
            os.kill(os.getpid(), signal.SIGKILL if inert and counts else signal.SIGTERM)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    run()
    assert executed(monitor) == {"success": 1}


def test_a_fork_in_the_middle_of_an_execution_leaves_the_child_inert(monitor: QuantumMonitor) -> None:
    def forks() -> int:
        child = os.fork()
        if not child:
            try:
                run()
                os.kill(os.getpid(), signal.SIGKILL if executed(monitor) == {} else signal.SIGTERM)
            finally:
                os._exit(3)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert observed(describe, forks) == -signal.SIGKILL
    assert executed(monitor) == {"success": 1}


def test_work_that_nobody_counts_is_none() -> None:
    assert destination.target() == (None, None)
    assert begin(describe) is None


class _Old:
    def run(self) -> str:
        warnings.warn("old", DeprecationWarning, stacklevel=2)
        return "ran"


def _around(original: Callable[..., Any], *args: Any) -> Any:
    return observed(describe, original, *args)


def test_a_warning_of_a_framework_names_the_line_that_called_it(monitor: QuantumMonitor) -> None:
    patches = Patches()
    patches.wrap(_Old, "run", _around)
    with pytest.warns(DeprecationWarning, match="old") as told:
        assert _Old().run() == "ran"
    patches.undo()
    assert [warning.filename for warning in told] == [__file__]
    assert executed(monitor)


def test_a_program_that_logs_an_execution_itself_is_told_what_that_ends(
    monitor: QuantumMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    observed(describe, str)
    for _ in range(2):
        monitor.log_circuit_execution(None, 0.1)
    observed(describe, str)
    assert [record.message for record in caplog.records] == [
        "run a: the program logs an execution itself, so none is counted automatically from here on"
    ]
