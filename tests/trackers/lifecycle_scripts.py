"""Trainings that end in every way there is, as people write them, and what each must leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SETUP = """
import multiprocessing, os, signal, subprocess, sys, time
import numpy as np
import psutil
from quantum_monitor import QuantumMonitor

NAME, GRACE = sys.argv[1], float(sys.argv[2])

def new_monitor(experiment="h2", **options):
    fixed = {"storage_path": "runs", "metrics_port": None, "enable_mlflow": True,
             "tracking_uri": "sqlite:///mlflow.db", "enable_wandb": True, "wandb_mode": "offline",
             "delivery_timeout": 0, "delivery_grace": GRACE}
    return QuantumMonitor(experiment, **{**fixed, **options})

def log(monitor, count=20):
    for step in range(count):
        monitor.log_training_step(1.0 / (step + 1), np.ones(3), np.ones(3), step)

def arrived(monitor, count=20):
    while any(one["delivered"] < count for one in monitor.tracking_status()["trackers"].values()):
        time.sleep(0.01)

def settled(monitor):
    monitor._run.store.flush(10)
    if GRACE:
        arrived(monitor)

def delivery():
    from quantum_monitor.trackers.courier import COURIER
    return COURIER.pid

def slow_starts():
    start = subprocess.Popen.__init__
    def later(self, *arguments, **options):
        time.sleep(0.5)
        start(self, *arguments, **options)
    subprocess.Popen.__init__ = later

def outlive(pid):
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)

def raising(error):
    def handler(*_):
        raise error
    return handler

def own_run(name):
    monitor = new_monitor()
    with monitor.start_run(name):
        log(monitor)

def left_open(name):
    monitor = new_monitor()
    monitor.start_run(name)
    log(monitor)

if __name__ == "__main__":
"""


class Ending(NamedTuple):
    """A training and what comes of it.

    Attributes:
        script: what it does, below `SETUP`.
        exit: its exit status; negative for a signal.
        runs: name of a run to the status that it ends with.
    """

    script: str
    exit: int
    runs: Mapping[str, str]


def _open(script: str) -> str:
    return f"monitor = new_monitor()\nmonitor.start_run(NAME); log(monitor)\n{script}"


def _block(script: str) -> str:
    return f"monitor = new_monitor()\nwith monitor.start_run(NAME):\n    log(monitor)\n    {script}"


def _signal(name: str) -> str:
    return f"settled(monitor); os.kill(os.getpid(), signal.{name}); time.sleep(60)"


def _with_handler(error: str) -> str:
    return f"signal.signal(signal.SIGTERM, raising({error}))\n{_block(_signal('SIGTERM'))}"


# One run each, of the name of the ending: script, exit status, status of the run.
ALONE: Mapping[str, tuple[str, int, str]] = {
    "block": (_block("pass"), 0, "completed"),
    "exception-in-block": (_block('raise KeyError("x")'), 1, "failed"),
    "exception-outside": (_open('raise KeyError("x")'), 1, "failed"),
    "exit-0-in-block": (_block("sys.exit(0)"), 0, "completed"),
    "exit-3-in-block": (_block("sys.exit(3)"), 3, "failed"),
    "exit-3-outside": (_open("sys.exit(3)"), 3, "completed"),
    "interpreter-exit": (_open(""), 0, "completed"),
    "exit-before-delivery-runs": (f"slow_starts()\n{_open('')}", 0, "completed"),
    "SIGINT-in-block": (_block(_signal("SIGINT")), -2, "stopped"),
    "SIGINT-outside": (_open(_signal("SIGINT")), -2, "stopped"),
    "SIGTERM": (_open(_signal("SIGTERM")), -15, "killed"),
    "SIGTERM-that-exits": (_with_handler("SystemExit(143)"), 143, "failed"),
    "SIGTERM-that-interrupts": (_with_handler("KeyboardInterrupt()"), -2, "stopped"),
    "SIGKILL": (_open(_signal("SIGKILL")), -9, "killed"),
    "os._exit": (_open("settled(monitor); os._exit(4)"), 4, "killed"),
    "fork-that-ends-first": (
        _open("child = os.fork()\nif not child:\n    os._exit(0)\nos.waitpid(child, 0)\nmonitor.end_run()"),
        0,
        "completed",
    ),
    "fork-that-leaves-the-block": (
        _block('child = os.fork()\n    if not child:\n        raise KeyError("child")\n    os.waitpid(child, 0)'),
        0,
        "completed",
    ),
    "fork-that-lives-longer": (
        _open(
            "settled(monitor); pid, parent = delivery(), os.getpid()\n"
            "if not os.fork():\n    outlive(parent); outlive(pid); os._exit(0)\nos._exit(5)"
        ),
        5,
        "killed",
    ),
    "delivery-killed-too": (
        _open(
            "arrived(monitor); pid = delivery(); os.kill(pid, signal.SIGSTOP)\n"
            "log(monitor, 10); settled(monitor); os.kill(pid, signal.SIGKILL); os.kill(os.getpid(), signal.SIGKILL)"
        ),
        -9,
        "killed",
    ),
}

SEVERAL: Mapping[str, Ending] = {
    "one-after-the-other": Ending(
        "monitor = new_monitor()\npids = set()\n"
        'for name in ("again", "completed", "failed", "stopped", "last"):\n'
        "    monitor.start_run(name); log(monitor); arrived(monitor); pids.add(delivery())\n"
        '    name in ("again", "last") or monitor.end_run(name)\n'
        "monitor.close()\nassert len(pids) == 1",
        0,
        {"again": "completed", "completed": "completed", "failed": "failed", "stopped": "stopped", "last": "completed"},
    ),
    "two-monitors": Ending(
        'first, second = new_monitor(), new_monitor("lih")\n'
        'first.start_run("a"); second.start_run("b"); log(first); log(second)\n'
        'first.end_run("stopped"); log(second); second.close()',
        0,
        {"a": "stopped", "b": "completed"},
    ),
    "workers": Ending(
        _open('context = multiprocessing.get_context("fork")\n')
        + 'workers = [context.Process(target=own_run, args=("b",)), context.Process(target=left_open, args=("c",))]\n'
        "[worker.start() for worker in workers]; [worker.join() for worker in workers]\n"
        'log(monitor); monitor.end_run("failed")',
        0,
        {"workers": "failed", "b": "completed", "c": "completed"},
    ),
    "spawned": Ending(
        _open('worker = multiprocessing.get_context("spawn").Process(target=own_run, args=("b",))\n')
        + 'worker.start(); worker.join(); monitor.end_run("stopped")',
        0,
        {"spawned": "stopped", "b": "completed"},
    ),
}

ENDINGS: Mapping[str, Ending] = {
    **{name: Ending(script, exit_status, {name: status}) for name, (script, exit_status, status) in ALONE.items()},
    **SEVERAL,
}

AT_ONCE = (
    "interpreter-exit",
    "exit-before-delivery-runs",
    "SIGINT-in-block",
    "SIGKILL",
    "fork-that-lives-longer",
    *SEVERAL,
)
"""Those that are delivered by the delivery process in their tests; of the others, that goes with the training."""
