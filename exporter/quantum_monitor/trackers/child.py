"""The delivery process, started: an interpreter of its own that shares nothing with the training but two pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from quantum_monitor.trackers.service import MODEST

# The first line of input brings the module path of this process: the child imports what this one would, but for what
# the working folder would hide.
_BOOT = (
    "import json, sys\n"
    "first = json.loads(sys.stdin.buffer.raw.readline())\n"
    "sys.path[:] = first['path']\n"
    "try:\n"
    "    from quantum_monitor.trackers.service import main\n"
    "except BaseException as error:\n"
    "    print(json.dumps({'fatal': repr(error)[:500]}))\n"
    "    raise\n"
    "main(first['grace'], first['training'])\n"
)


def spawn() -> subprocess.Popen[bytes]:
    """Start it: its first line of input shall be ``{"path": path(), "grace": seconds, "training": our process id}``.

    Raises:
        OSError: no process can be started here.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("this program is no Python interpreter")
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
        [sys.executable, "-I", "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,  # a buffer has a lock, which a forked child could find taken for ever
        env={**MODEST, **os.environ},
        start_new_session=True,
    )


def path() -> list[str]:
    """The module path of this process; the folders of its script and of its shell last, where they hide nothing."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    here = {"", "."}
    with contextlib.suppress(OSError):  # the working folder was deleted
        here.add(str(Path.cwd()))
        if script is not None:
            here.add(str(Path(script).resolve().parent))
    entries: list[Any] = list(sys.path)
    return sorted((entry for entry in entries if isinstance(entry, str)), key=here.__contains__)


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of its output, each as it comes, until it has ended."""
    pending = b""
    while chunk := stream.read(65_536):
        *whole, pending = (pending + chunk).split(b"\n")
        yield from whole


def reap(process: subprocess.Popen[bytes]) -> int:
    """Close its pipes, and wait for its exit status."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return process.wait()
