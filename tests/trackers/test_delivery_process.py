"""The delivery process: every end of a training leaves its run closed in the tracker, and no process behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers.delivery import Delivery, deliver_all
from quantum_monitor.trackers.state import BusyError
from tests.server_process import eventually
from tests.trackers.plugin_tracker import FileTracker, Received

Train = Callable[..., "subprocess.Popen[str]"]

SETUP = """
import json, logging, os, signal, sys, time
import numpy as np
from quantum_monitor import QuantumMonitor

logging.basicConfig(level=logging.INFO, format="%(message)s")
options = {"delivery_grace": 10, "delivery_timeout": 20, **json.loads(sys.argv[1])}

def new_monitor(**more):
    fixed = {"storage_path": "runs", "metrics_port": None, "enable_mlflow": False}
    return QuantumMonitor("h2", **{**fixed, **options, **more})

def courier():
    from quantum_monitor.trackers.courier import COURIER
    return COURIER

def say(*what):
    print(*what, flush=True)

def until(holds):
    while not holds():
        time.sleep(0.01)

def log(count, first=0):
    for step in range(first, first + count):
        monitor.log_training_step(1.0, np.ones(3), None, step)

def arrived(count):
    path = options["trackers"]["file"]["path"]
    until(lambda: os.path.exists(path) and sum(len(json.loads(line).get("rows", ())) for line in open(path)) >= count)

monitor = new_monitor()
"""


@pytest.fixture
def train(plugin: Received) -> Iterator[Train]:
    """Starts training scripts; after the test, none of them and no delivery of theirs is left."""
    started: list[subprocess.Popen[str]] = []

    def start(
        script: str, *, received: Received = plugin, tracker: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        options["trackers"] = {"file": {"path": str(received.path), **(tracker or {})}, **options.get("trackers", {})}
        process = subprocess.Popen(
            [sys.executable, "-c", SETUP + script, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for pid in plugin.processes:
        with contextlib.suppress(psutil.Error):
            delivery = psutil.Process(pid)
            if any("trackers.service" in argument for argument in delivery.cmdline()):
                delivery.kill()


def finish(process: subprocess.Popen[str], *, status: int | None = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=60)
    assert status is None or process.returncode == status, errors
    return output, errors


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def in_order_once(received: Received, count: int) -> None:
    assert received.sequences == list(range(1, count + 1))


# Every end


ENDINGS = {
    "completed": ("monitor.start_run(); log(50); monitor.end_run()", 0, "completed"),
    "failed": ("monitor.start_run(); log(50); monitor.end_run('failed')", 0, "failed"),
    "stopped": ("monitor.start_run(); log(50); monitor.end_run('stopped')", 0, "stopped"),
    "exception-in-block": ("with monitor.start_run():\n    log(50)\n    raise KeyError('x')", 1, "failed"),
    "exception": ("monitor.start_run(); log(50); raise KeyError('x')", 1, "failed"),
    "sys.exit": ("monitor.start_run(); log(50); sys.exit(3)", 3, "completed"),
    "interpreter-exit": ("monitor.start_run(); log(50)", 0, "completed"),
    "ctrl-c": (
        "with monitor.start_run():\n    log(50); arrived(1)\n    os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
        -signal.SIGINT,
        "stopped",
    ),
    "sigterm": ("monitor.start_run(); log(50); arrived(50); os.kill(os.getpid(), signal.SIGTERM)", -15, "killed"),
    "sigkill": ("monitor.start_run(); log(50); arrived(50); os.kill(os.getpid(), signal.SIGKILL)", -9, "killed"),
    "os._exit": ("monitor.start_run(); log(50); arrived(50); os._exit(4)", 4, "killed"),
}


def test_every_end_of_a_training_is_told_and_leaves_no_process(train: Train, tmp_path: Path, plugin: Received) -> None:
    waiting = list(ENDINGS.items())
    while waiting:  # four at a time
        some, waiting = waiting[:4], waiting[4:]
        begun = []
        for name, (script, status, expected) in some:
            received = Received(tmp_path / f"{name}.jsonl")
            begun.append((name, train(script, received=received), received, status, expected))
        for name, process, received, status, expected in begun:
            finish(process, status=status)
            eventually(lambda: received.statuses, seconds=15, what=f"the close after {name}")  # noqa: B023 - called here
            assert (name, received.statuses) == (name, [expected])
            in_order_once(received, 50)
            (pid,) = received.processes
            eventually(lambda: gone(pid), seconds=15, what=f"the end of the delivery after {name}")  # noqa: B023
    assert len(find_runs(tmp_path / "runs")) == len(ENDINGS)


# Kills


def test_a_delivery_process_killed_before_the_acknowledgement_is_started_again(train: Train, plugin: Received) -> None:
    process = train(
        """
monitor.start_run()
log(100)
arrived(100)
for part in range(1, 4):
    log(100, 100 * part)
    arrived(100 * part + 1)
monitor.end_run()
say(json.dumps(monitor.tracking_status()["trackers"]["file"]))
""",
        tracker={"die": 150},
    )
    output, errors = finish(process)
    status = json.loads(output)
    assert (status["condition"], status["delivered"], status["waiting"], status["dropped"]) == ("delivered", 400, 0, 0)
    assert "the delivery process ended with status -9" in errors

    assert len(set(plugin.processes)) == 2
    assert sorted(set(plugin.sequences)) == list(range(1, 401))
    assert plugin.statuses == ["completed"]
    # Only the batch that was not acknowledged came again, as it was.
    batches = [[row["sequence"] for row in line["rows"]] for line in plugin.lines if line.get("rows")]
    died = next(index for index, batch in enumerate(batches) if batch[-1] >= 150)
    doubles = {number for number in plugin.sequences if plugin.sequences.count(number) > 1}
    assert doubles == set(batches[died])
    rows: dict[int, set[str]] = {}
    for row in plugin.rows:
        rows.setdefault(row["sequence"], set()).add(json.dumps(row))
    assert all(len(same) == 1 for same in rows.values())


def test_both_killed_and_delivered_later_by_hand(train: Train, plugin: Received, tmp_path: Path) -> None:
    process = train("monitor.start_run(); log(20); arrived(20); say('there'); time.sleep(60)")
    assert said(process) == "there"
    process.send_signal(signal.SIGSTOP)  # or it would start delivery again
    (delivery,) = plugin.processes
    os.kill(delivery, signal.SIGKILL)
    process.kill()
    finish(process, status=-9)

    (directory,) = find_runs(tmp_path / "runs")
    run = StoredRun(directory)
    late = Delivery(run, "file", FileTracker({"path": str(plugin.path)}), directory=directory)

    def delivered() -> bool:
        with contextlib.suppress(BusyError):  # the last threads of the one that was killed may be about to go
            deliver_all(late)
        return late.finished

    eventually(delivered)
    assert late.progress.closed == "killed"
    assert sorted(set(plugin.sequences)) == list(range(1, run.last_sequence + 1))
    assert plugin.statuses == ["killed"]


def test_a_training_killed_in_the_middle_of_logging_is_delivered_as_far_as_it_was_written(
    train: Train, plugin: Received, tmp_path: Path
) -> None:
    process = train("monitor.start_run(); say('there')\nfor step in range(10**6):\n    log(1, step); time.sleep(0.001)")
    assert said(process) == "there"
    eventually(lambda: len(plugin.lines) > 3)
    process.kill()
    eventually(lambda: plugin.statuses == ["killed"], seconds=15)
    (directory,) = find_runs(tmp_path / "runs")
    in_order_once(plugin, StoredRun(directory).last_sequence)
    eventually(lambda: gone(plugin.processes[0]), seconds=15)


def test_the_end_of_the_training_is_noticed_while_a_forked_child_lives(train: Train, plugin: Received) -> None:
    process = train(
        """
monitor.start_run(); log(10); arrived(10)
child = os.fork()
if child == 0:
    os.close(0); os.close(1); os.close(2)
    time.sleep(60)
    os._exit(0)
say(child)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    child = int(said(process))
    assert process.wait(20) == -9
    try:
        eventually(lambda: plugin.statuses == ["killed"], seconds=15)
        eventually(lambda: gone(plugin.processes[0]), seconds=15)
        assert not gone(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_delivers_a_run_of_its_own_and_leaves_the_parents_alone(
    train: Train, plugin: Received, tmp_path: Path
) -> None:
    process = train(
        """
signal.alarm(30)
monitor.start_run("parent"); log(10); arrived(10)
child = os.fork()
if child == 0:
    signal.alarm(20)
    with new_monitor(trackers={"file": {"path": "child.jsonl"}}).start_run("child") as monitor:
        log(5)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
log(10, 10)
monitor.end_run()
"""
    )
    finish(process)
    childs = Received(tmp_path / "child.jsonl")
    in_order_once(plugin, 20)
    in_order_once(childs, 5)
    assert plugin.statuses == childs.statuses == ["completed"]
    assert set(plugin.processes).isdisjoint(childs.processes)


def test_ten_processes_deliver_from_one_storage_folder(train: Train, plugin: Received, tmp_path: Path) -> None:
    script = """
signal.alarm(50)
for number in range(9):
    if os.fork() == 0:
        break
else:
    number = 9
monitor = new_monitor(trackers={"file": {"path": f"{number}.jsonl"}})
with monitor.start_run():
    log(20)
if number < 9:
    os._exit(0)
for _ in range(9):
    assert os.wait()[1] == 0
"""
    finish(train(script))
    for number in range(10):
        received = Received(tmp_path / f"{number}.jsonl")
        eventually(lambda: received.statuses == ["completed"], seconds=15)  # noqa: B023 - called here
        in_order_once(received, 20)
    assert len(find_runs(tmp_path / "runs")) == 10


# What the process does to its surroundings


def test_a_service_that_hangs_holds_up_neither_the_script_nor_its_caller(
    train: Train, plugin: Received, tmp_path: Path
) -> None:
    process = train(
        """
began = time.monotonic()
monitor.start_run()
log(10)
arrived(0)
monitor.end_run()
from quantum_monitor.prometheus.exposition import expose
page = expose(monitor.registry)[1].decode()
say(json.dumps({
    "took": time.monotonic() - began,
    "status": monitor.tracking_status()["trackers"]["file"],
    "backlog": [line for line in page.splitlines() if line.startswith("quantum_monitor_sink_backlog")],
    "imported": [name for name in ("mlflow", "wandb", "plugin_tracker") if name in sys.modules],
    "delivery": courier().pid,
}))
""",
        tracker={"hang": str(tmp_path / "never")},
        delivery_timeout=1,
        delivery_grace=2,
    )
    output, errors = finish(process)  # the pipes are closed, although delivery hangs
    told = json.loads(output)
    assert not gone(told["delivery"])
    assert told["took"] < 10
    assert told["imported"] == []
    assert told["status"]["waiting"] == 10
    assert 'quantum_monitor_sink_backlog{sink="file"} 10.0' in told["backlog"]
    assert "file: 10 records are still on their way" in errors
    assert "quantum-monitor sync" in errors
    eventually(lambda: gone(told["delivery"]), seconds=15, what="the end of the delivery, within its grace")
    assert plugin.statuses == []


def test_ctrl_c_for_the_whole_group_does_not_reach_delivery(train: Train, plugin: Received) -> None:
    process = train("say(1)\nwith monitor.start_run():\n    log(10); arrived(10); say('there'); time.sleep(60)")
    assert (said(process), said(process)) == ("1", "there")
    os.killpg(process.pid, signal.SIGINT)
    finish(process, status=-signal.SIGINT)
    assert plugin.statuses == ["stopped"]
    assert len(plugin.processes) == 1


HOSTILE = "import os; os.kill(os.getpid(), 9)\n"


def test_what_stands_in_the_working_folder_is_not_imported(train: Train, plugin: Received, tmp_path: Path) -> None:
    process = train(
        # The script has all that it needs by now; '' leads its module path, as with `python -c`.
        f"""
assert sys.path[0] == ""
sys.path.insert(0, __import__("pathlib").Path("lib"))  # which the import system ignores, and so do we
for name in ("json", "random", "select", "sqlite3", "mlflow", "numpy", "plugin_tracker"):
    open(name + ".py", "w").write({HOSTILE!r})
with monitor.start_run():
    log(10)
"""
    )
    finish(process)
    in_order_once(plugin, 10)
    (opened,) = [line for line in plugin.lines if "open" in line]
    assert opened["modules"] == []


def test_without_a_tracker_no_process_is_started(train: Train, tmp_path: Path) -> None:
    script = """
import psutil
monitor = new_monitor(trackers={})
with monitor.start_run():
    log(10)
say(len(psutil.Process().children()), any(name.startswith("quantum_monitor.trackers") for name in sys.modules))
"""
    assert finish(train(script))[0].split()[0] == "0"


def test_refused_records_are_counted(train: Train, plugin: Received) -> None:
    script = """
with monitor.start_run():
    monitor.log_metrics({"poison": 1.0, "good": 2.0})
    monitor.log_metrics({"good": 3.0})
from quantum_monitor.prometheus.exposition import expose
page = expose(monitor.registry)[1].decode().splitlines()
say([line for line in page if line.startswith("quantum_monitor_records_dropped_total") and '"file"' in line][0])
say(monitor.tracking_status()["trackers"]["file"]["dropped"])
"""
    output, _ = finish(train(script, tracker={"reject": ["poison"]}))
    assert output == 'quantum_monitor_records_dropped_total{reason="rejected",sink="file"} 1.0\n1\n'
    assert [row["values"] for row in plugin.rows] == [{"good": 2.0}, {"good": 3.0}]


def test_a_parameter_and_a_tag_and_a_late_one_arrive(train: Train, plugin: Received) -> None:
    script = """
with monitor.start_run():
    monitor.log_params({"wires": [0, 1], "lr": 0.1}); log(5); arrived(5)
    monitor.set_tags({"paper": "fig. 3"})
"""
    finish(train(script))
    assert plugin.params == {"wires": [0, 1], "lr": 0.1}
    assert plugin.tags["paper"] == "fig. 3"
    assert plugin.tags["quantum.qubits"] == "[0, 1]"


# Where no process can be started

NO_PROCESS = {
    "no-interpreter": "sys.executable = ''",
    "lost-interpreter": "sys.executable = '/nonexistent/python'",
    "not-executable": "sys.executable = '/etc/passwd'",
}


@pytest.mark.parametrize("how", NO_PROCESS.values(), ids=NO_PROCESS)
def test_where_no_process_can_be_started_a_thread_delivers(train: Train, plugin: Received, how: str) -> None:
    process = train(how + "\nsay(os.getpid())\nwith monitor.start_run():\n    log(10)\n")
    output, errors = finish(process)
    assert "no process can be started" in errors
    in_order_once(plugin, 10)
    assert plugin.statuses == ["completed"]
    assert plugin.processes == [int(output)]


def test_an_interpreter_that_is_none_is_not_started_for_ever(train: Train, plugin: Received) -> None:
    script = """
from quantum_monitor.trackers import courier as module
module._FIRST_PAUSE = 0.01
open("other", "w").write("#!/bin/sh\\necho >> started\\n")
os.chmod("other", 0o700)
sys.executable = os.path.abspath("other")
monitor.start_run()
log(10)
until(lambda: monitor.tracking_status()["trackers"]["file"]["error"])
monitor.end_run()  # waits for nothing that will not come
say(len(open("started").readlines()), monitor.tracking_status()["trackers"]["file"]["waiting"])
"""
    output, errors = finish(train(script, delivery_timeout=3_000))
    assert output == "5 10\n"
    assert "`quantum-monitor sync" in errors


def test_records_in_memory_are_delivered_by_a_thread(train: Train, plugin: Received) -> None:
    script = """
open("file", "w").close()
monitor = new_monitor(storage_path="file/runs")
say(os.getpid())
with monitor.start_run():
    monitor.log_params({"seed": 3})
    log(10)
"""
    output, _ = finish(train(script))
    in_order_once(plugin, 10)
    assert plugin.params == {"seed": 3}
    assert plugin.statuses == ["completed"]
    assert plugin.processes == [int(output)]


def test_where_not_even_a_thread_can_be_started_the_run_goes_on(train: Train, plugin: Received, tmp_path: Path) -> None:
    script = """
import threading
monitor = new_monitor()
start = threading.Thread.start
def refuse(thread):
    if "delivery" in thread.name or thread.name == "quantum-monitor-file":
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = refuse
with monitor.start_run():
    log(10)
say("done")
"""
    output, errors = finish(train(script))
    assert output == "done\n"
    assert "can't start new thread" in errors
    assert StoredRun(find_runs(tmp_path / "runs")[0]).last_sequence == 10


def test_the_delivery_process_gives_way_to_the_training(train: Train, plugin: Received) -> None:
    training = train('monitor.start_run("a"); log(1); arrived(1); say("here"); sys.stdin.read()')
    assert said(training) == "here"
    (delivery,) = map(psutil.Process, plugin.processes)
    assert delivery.nice() == min(19, psutil.Process(training.pid).nice() + 10)
    assert Path(f"/proc/{delivery.pid}/oom_score_adj").read_text().strip() == "500"
    finish(training)


def test_a_service_in_trouble_is_not_waited_for_run_after_run(train: Train, tmp_path: Path) -> None:
    """The next runs have not even been tried: the service hangs by now."""
    script = """
well = options["trackers"]["file"]["hang"]
open(well, "w").close()
monitor.start_run("first"); log(1)
until(lambda: monitor.tracking_status()["trackers"]["file"]["error"])
os.remove(well)
spent = []
for number in range(2):
    monitor.start_run(str(number))
    log(1)
    began = time.monotonic()
    monitor.end_run()
    spent.append(time.monotonic() - began)
say(max(spent))
os._exit(0)
"""
    tracker = {"fail": 1_000, "hang": str(tmp_path / "well")}
    training = train(script, tracker=tracker, delivery_timeout=15, delivery_grace=0)
    assert float(said(training)) < 15
    finish(training)


def test_keys_that_are_set_after_the_start_reach_the_delivery_process(train: Train, plugin: Received) -> None:
    script = """
monitor.start_run("a"); log(1); arrived(1)
os.environ["WANDB_FOUND_LATER"] = "x"
monitor.start_run("b"); log(1); arrived(2); say("here"); sys.stdin.read()
"""
    training = train(script)
    assert said(training) == "here"
    assert {line["environment"] for line in plugin.lines if "environment" in line} == {"", "x"}
    finish(training)


def test_a_start_that_ends_the_run_before_does_not_wait_for_its_delivery(train: Train, tmp_path: Path) -> None:
    script = """
monitor.start_run("a"); log(1)
began = time.monotonic()
monitor.start_run("b")
say(time.monotonic() - began)
os._exit(0)
"""
    training = train(script, tracker={"hang": str(tmp_path / "go on")}, delivery_timeout=30, delivery_grace=0)
    assert float(said(training)) < 30
    finish(training)
