"""How runs end: killed, twice, in two threads, in a signal handler, by an exception, or not at all."""

from __future__ import annotations

import json
import signal
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

NewMonitor = Callable[..., QuantumMonitor]
RunProgram = Callable[..., str]
StartProgram = Callable[..., "Popen[str]"]
Page = dict[tuple[str, frozenset[tuple[str, str]]], float]


def the_run(storage: Path) -> StoredRun:
    (run,) = find_runs(storage)
    return StoredRun(run)


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def records_of(runs: Iterable[Path]) -> int:
    return sum(StoredRun(run).last_sequence for run in runs)


LOGS_UNTIL_KILLED = """
import mmap, struct, sys, time
import numpy as np
from quantum_monitor import QuantumMonitor

monitor = QuantumMonitor("h2", metrics_port=0, storage_path=sys.argv[1], enable_mlflow=False)
monitor.start_run("a")
monitor.log_params({"seed": 7})
with open(sys.argv[2], "r+b") as file:
    logged = mmap.mmap(file.fileno(), 16)
gradient, parameters = np.ones(100), np.ones(100)
due, step = time.perf_counter(), 0
while True:
    while time.perf_counter() < due:
        pass  # computes, as training does; what NumPy does at each step keeps other threads from the interpreter
    due += 1e-3
    monitor.log_training_step(1.0, gradient, parameters, step)
    logged[:] = struct.pack("<qd", step, time.time())
    if step == 500:
        print("logging", flush=True)
    step += 1
"""


@pytest.mark.parametrize("moment", [0.0, 0.033, 0.071, 0.11])
def test_a_run_killed_while_logging_has_all_but_the_last_moment(
    tmp_path: Path, start_program: StartProgram, moment: float
) -> None:
    progress = tmp_path / "progress"
    progress.write_bytes(bytes(16))
    process = start_program(LOGS_UNTIL_KILLED, tmp_path / "runs", progress)
    assert process.stdout is not None
    assert process.stdout.readline() == "logging\n"
    (directory,) = find_runs(tmp_path / "runs")
    # Let the replacing of run.json be over, which a busy disk may hold up, and records behind it.
    wait_until(lambda: "params" in StoredRun(directory).info)
    described = time.time()
    wait_until(lambda: StoredRun(directory).series("loss").time[-1] > described)
    time.sleep(moment)  # at another phase of the writer's interval each time
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    last_step, last_time = struct.unpack("<qd", progress.read_bytes())

    run = the_run(tmp_path / "runs")
    assert run.status == "killed"
    assert run.info["params"] == {"seed": 7}
    loss = run.series("loss")
    assert loss.step.tolist() == list(range(len(loss.step)))
    # 0.1 s is promised; the rest is for a machine whose processors and disk the other tests share. A writer that is
    # kept from the interpreter is seconds late.
    assert last_time - loss.time[-1] < 0.5
    assert last_step >= len(loss.step) - 2  # and nothing that was never logged (one step may have been under way)


# end_run at odd moments


def test_a_scrape_waits_for_no_run_whose_thread_is_in_a_log_call(new_monitor: NewMonitor) -> None:
    # A signal handler in that log call may end the run, and wants what the scrape holds.
    monitor = new_monitor().start_run("a")
    run = monitor._run
    assert run is not None
    with run.lock:
        counting = threading.Thread(target=monitor._exporter.tally, daemon=True)
        counting.start()
        counting.join(20)
        assert not counting.is_alive()


def test_a_run_ended_by_two_threads_at_once_ends_once(
    new_monitor: NewMonitor, scrape: Callable[[QuantumMonitor], Page]
) -> None:
    monitor = new_monitor()
    for _ in range(10):
        monitor.start_run("a")
        monitor.log_training_step(0.5, None, None, 0)
        begin = threading.Barrier(4)

        def end(status: str, begin: threading.Barrier = begin) -> None:
            begin.wait(20)
            monitor.end_run(status)

        threads = [
            threading.Thread(target=end, args=(status,), daemon=True)
            for status in ("completed", "failed", "stopped", "completed")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert not monitor.is_running
        assert monitor.run_path is not None
        info = StoredRun(monitor.run_path).info
        page = scrape(monitor)
        of_run = frozenset({("experiment", "h2"), ("run", monitor._last_run.label), ("status", info["status"])})  # type: ignore[union-attr]
        assert info["status"] in ("completed", "failed", "stopped")
        assert page["quantum_run_status", of_run] == 1
        assert info["summary"]["training_summary"]["total_steps"] == 1


def test_a_run_ended_while_others_log_loses_nothing_uncounted(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"barren_plateau": None})  # a report of it would be a record, too
    drops = FAULTS.drops["store", "closed"]
    stop, logged = threading.Event(), [0] * 4

    def log(thread: int) -> None:
        while not stop.wait(0.0002):
            monitor.log_training_step(0.5, np.ones(9), np.ones(9), logged[thread])
            logged[thread] += 1

    threads = [threading.Thread(target=log, args=(n,), daemon=True) for n in range(len(logged))]
    for thread in threads:
        thread.start()
    for number in range(20):
        monitor.start_run(f"r{number}")
        stop.wait(0.005)
        monitor.end_run()
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    monitor.end_run()  # a call that came after an end has begun a run of its own
    stored = records_of(find_runs(monitor.storage_path))
    assert stored + FAULTS.drops["store", "closed"] - drops == sum(logged)
    assert {StoredRun(run).status for run in find_runs(monitor.storage_path)} == {"completed"}


ENDS_IN_A_HANDLER = """
import faulthandler, random, signal, sys, time, warnings
import numpy as np
from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

faulthandler.dump_traceback_later(40, exit=True)
monitor = QuantumMonitor("h2", metrics_port=0, storage_path=sys.argv[1], enable_mlflow=False)
random.seed(5)
handled = nested = 0

def end(signum, frame):
    global handled, nested
    handled += 1
    nested += "quantum_monitor" in frame.f_code.co_filename
    monitor.end_run("stopped")
    monitor.log_metrics({"in handler": 1.0})
    if handled < 40:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.02))

signal.signal(signal.SIGALRM, end)
signal.setitimer(signal.ITIMER_REAL, 0.01)
vector, large, calls = np.ones(9), np.full(2**9, 2**-4.5), 0
while handled < 40:
    monitor.log_training_step(0.5, vector, vector, calls)
    monitor.log_metrics({"x": 1.0, "refused": None}, calls)
    monitor.log_quantum_state(large, calls)
    monitor.log_circuit_execution(None, 1.0, backend_info="aer")
    monitor.log_params({"x": calls})
    calls += 1
monitor.end_run()
runs = [StoredRun(run) for run in find_runs(sys.argv[1])]
kept = [record.kind for run in runs for _, record in run.records()]
expected = 3 * calls + handled
missing = expected - sum(map(kept.count, ("training", "circuit", "custom"))) - FAULTS.drops["store", "closed"]
print(nested, missing, *{run.status for run in runs})
"""


def test_a_run_ended_by_a_signal_handler_in_the_middle_of_a_log_call_deadlocks_nothing(
    tmp_path: Path, run_program: RunProgram
) -> None:
    nested, missing, *statuses = run_program(ENDS_IN_A_HANDLER, tmp_path / "runs").split()
    assert int(nested) > 5  # the handler did come in the middle of our calls
    assert int(missing) <= 0  # less where the store refused a record of a state, which is not among them
    assert set(statuses) <= {"stopped", "completed"}


INTERRUPTED_WHILE_IT_ENDS = """
import os, signal, sys, threading
from quantum_monitor import QuantumMonitor
monitor = QuantumMonitor("h2", metrics_port=0, storage_path=sys.argv[1], enable_mlflow=False)
monitor.start_run("a")
monitor.log_metrics({"loss": 0.5}, 0)

def interrupt(run):
    del monitor._exporter.retire
    os.kill(os.getpid(), signal.SIGINT)

monitor._exporter.retire = interrupt  # where Ctrl-C finds it
monitor.end_run()
"""


def test_an_interrupt_in_the_middle_of_the_end_is_made_up_for_at_the_end_of_the_process(
    tmp_path: Path, run_program: RunProgram
) -> None:
    run_program(INTERRUPTED_WHILE_IT_ENDS, tmp_path, status=-signal.SIGINT)
    assert the_run(tmp_path).status == "stopped"
    assert the_run(tmp_path).series("loss").value.tolist() == [0.5]


# The end of the process

TRAINS = """
import os, signal, sys
from quantum_monitor import QuantumMonitor
monitor = QuantumMonitor("h2", metrics_port=0, storage_path=sys.argv[1], enable_mlflow=False)
monitor.start_run("a")
for step in range(100):
    monitor.log_training_step(1.0 / (step + 1), None, None, step)
"""


@pytest.mark.parametrize(
    ("ending", "exit_status", "run_status"),
    [
        ("", 0, "completed"),
        ("sys.exit(0)", 0, "completed"),
        ("raise RuntimeError('diverged')", 1, "failed"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "stopped"),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "stopped"),
        ("os._exit(3)", 3, "killed"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, "killed"),
        ("with monitor: raise RuntimeError('diverged')", 1, "failed"),
        ("with monitor: os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "stopped"),
        ("with monitor: sys.exit(3)", 3, "failed"),
    ],
)
def test_a_process_that_ends_without_end_run_leaves_the_right_status(
    tmp_path: Path, run_program: RunProgram, ending: str, exit_status: int, run_status: str
) -> None:
    run_program(
        f"{TRAINS}\n{'import time; time.sleep(0.3)' if run_status == 'killed' else ''}\n{ending}",
        tmp_path,
        status=exit_status,
    )
    run = the_run(tmp_path)
    assert run.status == run_status
    assert run.series("loss").step.tolist() == list(range(100))


WAITS_FOR_A_SCRAPE = """
import sys, time
from quantum_monitor import QuantumMonitor
monitor = QuantumMonitor(
    "h2", metrics_port=0, storage_path=sys.argv[1], enable_mlflow=False, final_scrape_timeout=float(sys.argv[2])
)
with monitor.start_run("a"):
    monitor.log_metrics({"loss": 0.5}, 0)
    print(monitor.metrics_url, flush=True)
    sys.stdin.readline()
print("done", flush=True)
"""


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read(), "utf-8")


def test_the_end_of_a_short_script_waits_for_the_scrape_that_sees_its_end(
    tmp_path: Path, start_program: StartProgram
) -> None:
    process = start_program(WAITS_FOR_A_SCRAPE, tmp_path, 60)
    assert process.stdout is not None
    assert process.stdin is not None
    url = process.stdout.readline().strip()
    assert 'status="running"} 1.0' in read(url)  # which is not yet the end
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"
    time.sleep(0.5)
    assert process.poll() is None
    began = time.monotonic()
    page = read(url)
    process.wait(20)
    assert time.monotonic() - began < 15
    assert 'status="completed"} 1.0' in page
    assert "quantum_run_end_timestamp_seconds{" in page
    assert process.returncode == 0
    assert the_run(tmp_path).status == "completed"


def test_a_process_that_waits_for_its_last_scrape_is_still_announced(
    tmp_path: Path, start_program: StartProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = tmp_path / "targets"
    monkeypatch.setenv("QUANTUM_MONITOR_DISCOVERY", str(targets))
    process = start_program(WAITS_FOR_A_SCRAPE, tmp_path / "runs", 60)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    url = process.stdout.readline().strip()
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"
    assert "waiting until the end of the run has been scraped, 60 s at most" in process.stderr.readline()
    assert len(list(targets.glob("*.json"))) == 1  # else nobody knows where to scrape
    read(url)
    assert process.wait(20) == 0
    assert list(targets.glob("*.json")) == []


def test_an_interrupt_ends_the_wait_for_the_last_scrape_quietly(tmp_path: Path, start_program: StartProgram) -> None:
    catches_interrupts = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = start_program(f"{catches_interrupts}\n{WAITS_FOR_A_SCRAPE}", tmp_path, 60)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"
    assert "Ctrl-C goes on without" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "Traceback" not in process.stderr.read()
    assert the_run(tmp_path).status == "completed"


def test_the_end_waits_no_longer_than_it_was_told_to(tmp_path: Path, start_program: StartProgram) -> None:
    process = start_program(WAITS_FOR_A_SCRAPE, tmp_path, 1)
    assert process.stdout is not None
    process.stdout.readline()
    _, errors = process.communicate("\n", timeout=20)
    assert process.returncode == 0, errors
    info = json.loads((the_run(tmp_path).directory / "run.json").read_text())
    assert info["status"] == "completed"
