"""The delivery process: told by the training process which runs to deliver, and done some time after that has gone.

It reads lines of JSON from its standard input, one a run, and writes lines of JSON with what is new to its standard
output. It has a session of its own, so that neither Ctrl-C nor a closed terminal ends it with the training; it lives no
longer than its work, and no longer than the grace it was given once the training process has gone, however that went.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers.lanes import Lanes, News

_LOOK_SECONDS = 1.0
_IDLE_SECONDS = 60.0
_GRACE_AFTER_SIGTERM = 5.0
_LINE_AT_MOST = 4_000  # what a pipe takes in one piece (PIPE_BUF), so that a line is there whole or not at all
_NICENESS = 10
_KILL_BEFORE_TRAINING = "500"

# A server that does not answer must be noticed, not waited for; the processor is the training's; and nothing is told to
# anybody but the tracker. Whoever has set these knows better.
MODEST = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # a POST that is redirected becomes a GET, which a server may well answer
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class _Service:
    def __init__(self, grace: float, training: int) -> None:
        self._grace, self._training = grace, training
        self._deadline: float | None = None
        self._output = os.dup(1)
        os.set_blocking(self._output, False)
        self._writing = threading.Lock()
        self._lanes = Lanes(self._tell)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._hurry)

    def serve(self) -> bool:
        """Until the training process has gone, then True, or has had nothing to deliver for long."""
        pending = b""
        busy = time.monotonic()
        while self._deadline is None:
            ready, _, _ = select.select([0], [], [], _LOOK_SECONDS)
            if ready:  # first: a training that was over at once has left its lines in the pipe
                chunk = os.read(0, 65_536)
                if not chunk:
                    return True
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            elif os.getppid() != self._training:
                return True
            if ready or not self._lanes.idle:
                busy = time.monotonic()
            elif time.monotonic() - busy > _IDLE_SECONDS:
                return False
        return os.getppid() != self._training

    def finish(self, *, over: bool) -> bool:
        """Deliver what is left, within the grace; False if that did not do. ``over``: what runs does so no more."""
        deadline = time.monotonic() + self._grace
        self._lanes.look(over=over)
        while not self._lanes.idle:
            if time.monotonic() > min(deadline, self._deadline or deadline):
                return False
            time.sleep(0.05)
        return True

    def _obey(self, message: Mapping[str, Any]) -> None:
        os.environ.update(message.get("environment", {}))
        directory = message.get("run")
        if directory is None:
            self._lanes.look()
            return
        try:
            run = StoredRun(directory)
        except OSError as error:
            for name in message["trackers"]:
                self._tell(News(directory, name, "unusable", 0, 0, "", str(error)))
            return
        self._lanes.add(directory, run, message["trackers"], Path(directory))
        self._lanes.look()

    def _tell(self, news: News) -> None:
        line = json.dumps(news._asdict()).encode() + b"\n"
        if len(line) > _LINE_AT_MOST:
            line = json.dumps(news._replace(error=news.error[:200], url="")._asdict()).encode() + b"\n"
        # A training process that is too busy to read misses a line, one that has gone reads no more.
        with self._writing, contextlib.suppress(OSError):
            os.write(self._output, line)

    def _hurry(self, *_: object) -> None:
        self._deadline = time.monotonic() + _GRACE_AFTER_SIGTERM


def main(grace: float, training: int) -> None:
    """Serve, finish, and leave without waiting for threads that hang; the exit status is 0 if all is delivered."""
    service = _Service(grace, training)
    _be_modest()
    _be_quiet()
    over = service.serve()
    delivered = service.finish(over=over)
    os._exit(0 if delivered else 3)


def _be_modest() -> None:
    """The training goes first: for the processor, and where memory runs out."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_BEFORE_TRAINING, encoding="ascii")


def _be_quiet() -> None:
    """What trackers print goes nowhere, and no pipe of the training's output is held open by this process."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
