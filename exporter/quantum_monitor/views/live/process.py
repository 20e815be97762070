"""The page's own process: started, never forked; it ends with the one that started it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantum_monitor.log import LOG
from quantum_monitor.trackers.child import path
from quantum_monitor.trackers.service import MODEST
from quantum_monitor.views.live.server import PORT

_SECONDS_TO_START = 60.0
_SECONDS_TO_END = 5.0

# The first line of input brings the module path of this process: the child imports what this one would.
_BOOT = (
    "import json, sys\n"
    "first = json.loads(sys.stdin.buffer.raw.readline())\n"
    "sys.path[:] = first.pop('path')\n"
    "try:\n"
    "    from quantum_monitor.views.live.child import main\n"
    "except BaseException as error:\n"
    "    print(json.dumps({'error': f'{type(error).__name__}: {error}'[:500]}), flush=True)\n"
    "    raise\n"
    "main(**first)\n"
)


@dataclass(frozen=True, eq=False)
class Dashboard:
    """A live page in a process of its own.

    Attributes:
        url: where it is.
    """

    url: str
    _process: subprocess.Popen[bytes]
    _owner: int

    @property
    def is_running(self) -> bool:
        """Whether the page is still served."""
        return os.getpid() == self._owner and self._process.poll() is None

    def stop(self) -> None:
        """End it. A second call is harmless, and so is one in a forked child, whose page it is not."""
        if os.getpid() == self._owner:
            atexit.unregister(self.stop)
            _end(self._process)


def start(storage: Path, *, host: str = "127.0.0.1", port: int = PORT, figures: Sequence[str] = ()) -> Dashboard:
    """Serve the live page of a folder from a process of its own, until `Dashboard.stop` or the end of this process.

    It runs at a low priority, hears no Ctrl-C, and has neither the standard output nor the errors of this process.

    Args:
        storage: a storage folder, an experiment's folder or a run's directory.
        host: address to listen on.
        port: 0 takes any free port; a taken one makes it try those that follow.
        figures: modules (names, or ``.py`` files) whose figures the page shall show, beside those of entry points and
            of modules that this process has imported them from.

    Raises:
        OSError: it could not be started: no port is free, the folder does not exist, an extra is missing; the
            message says what.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("the live page cannot be started from here: this program is no Python interpreter")
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
        [sys.executable, "-I", "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env={**MODEST, **os.environ},
        start_new_session=True,
    )
    wanted = {"path": path(), "storage": str(storage.absolute()), "host": host, "port": port, "parent": os.getpid(),
              "figures": [*figures, *_modules_of_figures()]}  # fmt: skip
    try:
        answer = _exchange(process, json.dumps(wanted).encode() + b"\n")
    except BaseException:
        _end(process)
        raise
    for note in answer.get("notes", ()):
        LOG.warning("live page: %s", note)
    if "url" not in answer:
        _end(process)
        raise OSError(f"the live page did not start: {answer.get('error', 'its process ended without a word')}")
    dashboard = Dashboard(str(answer["url"]), process, os.getpid())
    atexit.register(dashboard.stop)
    return dashboard


def _exchange(process: subprocess.Popen[bytes], line: bytes) -> dict[str, Any]:
    """Send the first line and wait for the answer, not for ever."""
    assert process.stdin is not None  # noqa: S101 - for the type checker: asked for above
    assert process.stdout is not None  # noqa: S101 - likewise
    with contextlib.suppress(BrokenPipeError):  # it has ended: its answer tells why
        process.stdin.write(line)
    # A read of a pipe has no time limit of its own; a thread's end of it is the process's end.
    timer = threading.Timer(_SECONDS_TO_START, process.kill)
    timer.daemon = True
    timer.start()
    try:
        answer = process.stdout.readline()
    finally:
        timer.cancel()
    process.stdout.close()
    with contextlib.suppress(ValueError):
        found = json.loads(answer)
        if isinstance(found, dict):
            return found
    return {}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it: it is told so, for a fork of this process may hold its input open; else by force."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.terminate()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _modules_of_figures() -> list[str]:
    """The modules whose figures are registered here; one that cannot be imported elsewhere is told of."""
    from quantum_monitor import plugins

    modules: list[str] = []
    for plugin in tuple(getattr(plugins, "FIGURES", ())):
        module = str(getattr(plugin.function, "__module__", "") or "__main__")
        if module == "__main__":
            LOG.warning(
                "the live page cannot show the figure %s: it is registered in the script itself, which another process"
                " cannot import; put it into a module of its own, and import that",
                plugin.name,
            )
        elif module not in modules:
            modules.append(module)
    return modules
