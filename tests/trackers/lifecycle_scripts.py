"""Trainings that end in every way there is, as people write them, and what each must leave behind."""

from __future__ import annotations

from typing import NamedTuple

SETUP = """
import multiprocessing, os, signal, sys, time
import numpy as np
import psutil
from quantum_monitor import QuantumMonitor

def new_monitor(experiment="h2", **options):
    fixed = {"storage_path": "runs", "metrics_port": None, "enable_mlflow": True, "tracking_uri": "sqlite:///mlflow.db",
             "enable_wandb": True, "wandb_mode": "offline", "delivery_timeout": 0, "delivery_grace": 60}
    return QuantumMonitor(experiment, **{**fixed, **options})

def log(monitor, count=20):
    for step in range(count):
        monitor.log_training_step(1.0 / (step + 1), np.ones(3), np.ones(3), step)

def arrived(monitor, count=20):
    while any(one["delivered"] < count for one in monitor.tracking_status()["trackers"].values()):
        time.sleep(0.01)

def delivery():
    from quantum_monitor.trackers.courier import COURIER
    while COURIER.pid is None:
        time.sleep(0.01)
    return COURIER.pid

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
    runs: dict[str, str]


def _one(script: str, status: str, exit_status: int = 0) -> Ending:
    return Ending(f"monitor = new_monitor()\n{script}", exit_status, {"a": status})


_OPEN = 'monitor.start_run("a"); log(monitor)\n'
_BLOCK = 'with monitor.start_run("a"):\n    log(monitor)\n    '
_HERE = "arrived(monitor); os.kill(os.getpid(), signal."
_WAIT = "; time.sleep(60)"

ENDINGS: dict[str, Ending] = {
    # Said
    "end_run": _one(_OPEN + "monitor.end_run()", "completed"),
    "end_run-failed": _one(_OPEN + 'monitor.end_run("failed")', "failed"),
    "end_run-stopped": _one(_OPEN + 'monitor.end_run("stopped")', "stopped"),
    "close": _one(_OPEN + "monitor.close()", "completed"),
    "block": _one(_BLOCK + "pass", "completed"),
    # By exceptions
    "exception-in-block": _one(_BLOCK + 'raise KeyError("x")', "failed", 1),
    "exception-outside": _one(_OPEN + 'raise KeyError("x")', "failed", 1),
    "exit-0-in-block": _one(_BLOCK + "sys.exit(0)", "completed"),
    "exit-3-in-block": _one(_BLOCK + "sys.exit(3)", "failed", 3),
    "exit-3-outside": _one(_OPEN + "sys.exit(3)", "completed", 3),
    # By signals
    "SIGINT-in-block": _one(_BLOCK + _HERE + "SIGINT)" + _WAIT, "stopped", -2),
    "SIGINT-outside": _one(_OPEN + _HERE + "SIGINT)" + _WAIT, "stopped", -2),
    "SIGTERM": _one(_OPEN + _HERE + "SIGTERM)" + _WAIT, "killed", -15),
    "SIGTERM-that-exits": _one(
        "signal.signal(signal.SIGTERM, raising(SystemExit(143)))\n" + _BLOCK + _HERE + "SIGTERM)" + _WAIT,
        "failed",
        143,
    ),
    "SIGTERM-that-interrupts": _one(
        "signal.signal(signal.SIGTERM, raising(KeyboardInterrupt()))\n" + _BLOCK + _HERE + "SIGTERM)" + _WAIT,
        "stopped",
        -2,
    ),
    "SIGKILL": _one(_OPEN + _HERE + "SIGKILL)", "killed", -9),
    # Without a word
    "os._exit": _one(_OPEN + "arrived(monitor); os._exit(4)", "killed", 4),
    "interpreter-exit": _one(_OPEN, "completed"),
    # Forks and other processes
    "fork-that-ends-first": _one(
        _OPEN + "child = os.fork()\nif not child:\n    os._exit(0)\nos.waitpid(child, 0)\nmonitor.end_run()",
        "completed",
    ),
    "fork-that-exits-in-the-block": _one(
        _BLOCK + 'child = os.fork()\n    if not child:\n        raise KeyError("child")\n    os.waitpid(child, 0)',
        "completed",
    ),
    "fork-that-lives-longer": _one(
        "parent = os.getpid()\n" + _OPEN + "arrived(monitor); pid = delivery()\n"
        "if not os.fork():\n    outlive(parent); outlive(pid); os._exit(0)\nos._exit(5)",
        "killed",
        5,
    ),
    "worker-of-multiprocessing": Ending(
        "monitor = new_monitor()\n" + _OPEN + 'context = multiprocessing.get_context("fork")\n'
        'workers = [context.Process(target=own_run, args=("b",)), context.Process(target=left_open, args=("c",))]\n'
        "[worker.start() for worker in workers]; [worker.join() for worker in workers]\n"
        "log(monitor)\nmonitor.end_run()",
        0,
        {"a": "completed", "b": "completed", "c": "completed"},
    ),
    "spawned": Ending(
        "monitor = new_monitor()\n" + _OPEN + 'worker = multiprocessing.get_context("spawn").Process(target=own_run,'
        ' args=("b",))\nworker.start(); worker.join()\nmonitor.end_run("stopped")',
        0,
        {"a": "stopped", "b": "completed"},
    ),
    # Many
    "one-after-the-other": Ending(
        'monitor = new_monitor()\npids = set()\nfor name in "abc":\n    monitor.start_run(name); log(monitor)\n'
        "    arrived(monitor); pids.add(delivery())\nassert len(pids) == 1\nmonitor.end_run('failed')",
        0,
        {"a": "completed", "b": "completed", "c": "failed"},
    ),
    "two-monitors": Ending(
        'first, second = new_monitor(), new_monitor("lih")\n'
        'first.start_run("a"); second.start_run("b"); log(first); log(second)\n'
        "first.end_run('stopped'); log(second); second.close()",
        0,
        {"a": "stopped", "b": "completed"},
    ),
}

_ALONE = "monitor = new_monitor(delivery_grace=0)\n"

# Nobody is left to deliver when the training has gone: the runs wait until somebody syncs.
LATER: dict[str, Ending] = {
    "completed": Ending(_ALONE + _OPEN + "monitor.end_run()", 0, {"a": "completed"}),
    "failed": Ending(_ALONE + _BLOCK + 'raise KeyError("x")', 1, {"a": "failed"}),
    "stopped": Ending(_ALONE + _BLOCK + "raise KeyboardInterrupt", -2, {"a": "stopped"}),
    "killed": Ending(
        _ALONE + _OPEN + "monitor._run.store.flush(10); os.kill(os.getpid(), signal.SIGKILL)", -9, {"a": "killed"}
    ),
    "both-killed": Ending(
        _ALONE + 'monitor.start_run("a"); log(monitor, 10); arrived(monitor, 10); pid = delivery()\n'
        "os.kill(pid, signal.SIGSTOP); log(monitor, 10); monitor._run.store.flush(10)\n"
        "os.kill(pid, signal.SIGKILL); os.kill(os.getpid(), signal.SIGKILL)",
        -9,
        {"a": "killed"},
    ),
}
