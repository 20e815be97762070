"""A delivery process to be killed: opens a run, hands over rows, says how far it is, and waits for more on stdin.

Arguments: the run's directory, the mode. Each line of stdin is a command: ``rows FIRST LAST``, ``artifacts`` (those
of the run's index), ``report``, ``close STATUS``, ``core`` (W&B's process), ``leave`` (without a farewell).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

from quantum_monitor.store import artifacts
from quantum_monitor.trackers.protocol import Batch, Row, TrackedRun
from quantum_monitor.trackers.wandb import tracker


def main(directory: str, mode: str) -> None:
    to = tracker({"mode": mode, "project": "p", "finish_timeout": 2})
    run = TrackedRun("killed", "killed", "h2", 1_700_000_000.0, Path(directory), {})
    _say(to.open(run, {}).cursor)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "rows":
            first, last = map(int, arguments)
            rows = [Row(n, 1_700_000_000.0 + n, n, "training", {"loss": 1 / n}, {}) for n in range(first, last + 1)]
            to.deliver(Batch(rows, {"last": last}, {}))
        elif command == "artifacts":
            for artifact in artifacts.read(directory):
                to.attach(artifact)
        elif command == "report":
            to.attach(artifacts.Artifact(0, "report", "report.html", Path(directory) / "trackers/report.html", 1.0, {}))
        elif command == "close":
            to.close(arguments[0], {}, ended=1.0)
        elif command == "core":
            _say(next(child.pid for child in psutil.Process().children() if "wandb-core" in " ".join(child.cmdline())))
            continue
        elif command == "leave":
            os._exit(3)
        _say("done")


def _say(what: object) -> None:
    print(what, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
