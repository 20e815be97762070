"""Children that are forked or spawned while the parent logs, scrapes and computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

RunProgram = Callable[..., str]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")

BUSY_PARENT = """
import faulthandler, multiprocessing, os, signal, sys, threading, urllib.request, warnings
import numpy as np
from quantum_monitor import QuantumMonitor, current_monitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.exposition import expose

faulthandler.register(signal.SIGALRM, chain=True)  # a deadlock ends the process, and shows where it was
signal.alarm(40)
warnings.simplefilter("ignore")  # threads and fork: what is tested
storage = sys.argv[1]
options = {"storage_path": storage, "metrics_port": 0, "enable_mlflow": False}
monitor = QuantumMonitor("h2", discovery_dir=storage + "/discovery", **options)
monitor.start_run("parent")
monitor.start_realtime_monitoring(0.05)
large = np.full(2**10, 2.0**-5)
stop, logged = threading.Event(), [0] * 4

def read(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()

def log(thread):
    while not stop.wait(0.0005):
        monitor.log_training_step(0.5, large, large, logged[thread])
        monitor.log_metrics({"x": 1.0, "bad": None})
        monitor.log_quantum_state(large, 0)
        logged[thread] += 1

def scrape():
    while not stop.wait(0.002):
        read(monitor.metrics_url)
        monitor.get_metrics_summary()

def log_in_child():
    signal.alarm(30)
    for step in range(3):
        monitor.log_training_step(-1.0, large, large, step)
        monitor.log_metrics({"child": 1.0, "bad": None})
        monitor.log_quantum_state(large, 0)
        monitor.log_circuit_execution(None, 1.0, backend_info="child")
        monitor.log_backend_status("child", up=True)
        monitor.log_params({"child": 1})
        monitor.set_tags({"child": 1})
    assert FAULTS.drops["store", "forked"] >= 12, FAULTS.drops
    assert monitor.metrics_url is None
    monitor.get_metrics_summary()
    monitor.get_comprehensive_summary()
    assert 'run="parent"' not in expose(monitor.registry)[1].decode()

threads = [threading.Thread(target=log, args=(n,)) for n in range(len(logged))] + [threading.Thread(target=scrape)]
for thread in threads:
    thread.start()

CHILDREN

stop.set()
for thread in threads:
    thread.join()
assert f'experiment="h2",run="parent"}} {float(sum(logged))}' in read(monitor.metrics_url)
assert len(os.listdir(storage + "/discovery")) == 1
monitor.end_run()
monitor.close()
print(sum(logged))
"""

FORKED = """
for _ in range(8):
    child = os.fork()
    if not child:
        log_in_child()
        monitor.end_run("failed")  # the parent's run is not the child's to end
        own = QuantumMonitor("own", **options)
        with own.start_run("child"):
            own.log_training_step(0.25, large, large, 0)
            page = read(own.metrics_url)
            assert 'run="child"' in page and 'run="parent"' not in page
        sys.exit(7)  # a normal end, with all that is registered for it
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""

BY_MULTIPROCESSING = """
for _ in range(4):
    child = multiprocessing.get_context("fork").Process(target=log_in_child)
    child.start()
    child.join(35)
    assert child.exitcode == 0, child.exitcode
"""

RUNS_ON_THE_PARENTS_MONITOR = """
for _ in range(4):
    child = os.fork()
    if not child:
        signal.alarm(30)
        with monitor.start_run("child"):
            monitor.log_training_step(0.25, large, large, 0)
            assert current_monitor() is monitor
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""

OUT_OF_A_BLOCK = """
child = os.fork()
if not child:
    signal.alarm(30)
    with monitor:  # whose run the parent began
        raise SystemExit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert monitor.is_running
"""


@needs_fork
@pytest.mark.parametrize(
    ("children", "runs_of_children"),
    [(FORKED, 8), (BY_MULTIPROCESSING, 0), (RUNS_ON_THE_PARENTS_MONITOR, 4)],
    ids=["os.fork", "multiprocessing", "start_run in the child"],
)
def test_a_forked_child_neither_deadlocks_nor_harms_its_parent(
    tmp_path: Path, run_program: RunProgram, children: str, runs_of_children: int
) -> None:
    logged = int(run_program(BUSY_PARENT.replace("CHILDREN", children), tmp_path / "runs"))
    runs = [StoredRun(path) for path in find_runs(tmp_path / "runs")]
    (parent,) = (run for run in runs if run.info["name"] == "parent")
    assert parent.status == "completed"
    losses = parent.series("loss").value
    assert len(losses) == logged
    assert (losses == 0.5).all()
    assert not {"params", "tags"} & parent.info.keys()
    assert parent.info["summary"]["training_summary"]["total_steps"] == logged
    children_runs = [run for run in runs if run is not parent]
    assert [(run.info["name"], run.status) for run in children_runs] == [("child", "completed")] * runs_of_children
    assert all(run.series("loss").value.tolist() == [0.25] for run in children_runs)


@needs_fork
def test_a_child_that_leaves_its_parents_block_ends_no_run(tmp_path: Path, run_program: RunProgram) -> None:
    run_program(BUSY_PARENT.replace("CHILDREN", OUT_OF_A_BLOCK), tmp_path / "runs")
    (run,) = find_runs(tmp_path / "runs")
    assert StoredRun(run).status == "completed"


SPAWNED = """
def train(storage, url):
    import urllib.request
    from quantum_monitor import QuantumMonitor, current_monitor
    assert current_monitor() is None
    port = int(url.rpartition(":")[2].removesuffix("/metrics"))
    monitor = QuantumMonitor("h2", storage_path=storage, metrics_port=port, enable_mlflow=False)
    assert monitor.metrics_url != url  # the parent has that port
    with monitor.start_run("child"):
        monitor.log_training_step(0.25, None, None, 0)
        with urllib.request.urlopen(monitor.metrics_url, timeout=20) as answer:
            assert b'run="child"' in answer.read()
"""

SPAWNS = """
import multiprocessing, sys
from quantum_monitor import QuantumMonitor
sys.path.insert(0, sys.argv[1])
import spawned

monitor = QuantumMonitor("h2", storage_path=sys.argv[2], metrics_port=0, enable_mlflow=False)
with monitor.start_run("parent"):
    child = multiprocessing.get_context("spawn").Process(target=spawned.train, args=(sys.argv[2], monitor.metrics_url))
    child.start()
    while child.is_alive():
        monitor.log_training_step(0.5, None, None, 0)
        child.join(0.01)
assert child.exitcode == 0
"""


def test_a_spawned_child_has_a_monitor_and_an_endpoint_of_its_own(tmp_path: Path, run_program: RunProgram) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "spawned.py").write_text(SPAWNED)
    run_program(SPAWNS, tmp_path / "code", tmp_path / "runs")
    runs = {run.info["name"]: run for run in map(StoredRun, find_runs(tmp_path / "runs"))}
    assert {name: run.status for name, run in runs.items()} == {"parent": "completed", "child": "completed"}
    assert runs["child"].series("loss").value.tolist() == [0.25]
    assert set(runs["parent"].series("loss").value) == {0.5}
