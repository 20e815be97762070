"""What runs in the page's own process: it serves until its input ends, or whoever started it is gone."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from quantum_monitor.views.live.figures import load
from quantum_monitor.views.live.server import LiveServer

_NICENESS = 10
_LOOK_EVERY = 1.0


def main(storage: str, host: str, port: int, parent: int, figures: Sequence[str]) -> None:
    """Serve the page of a folder; say on one line of output where it is, or why not.

    Args:
        storage: the folder.
        host: address to listen on.
        port: port to listen on.
        parent: the process that this one ends with.
        figures: modules to import for the figures in them.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICENESS)
    try:
        notes = load(figures)
        server = LiveServer(Path(storage), host=host, port=port)
    except Exception as error:  # noqa: BLE001 - told to whoever waits for the page
        _say({"error": str(error) or type(error).__name__})
        return
    if port and server.port != port:
        notes.append(f"port {port} is taken: the page is served on port {server.port}")
    threading.Thread(target=server.serve, name="quantum-monitor-live", daemon=True).start()
    _say({"url": server.url, "notes": notes})
    _wait_for_the_end(parent)
    server.close()


def _say(answer: dict[str, object]) -> None:
    """The one line that is read; then the output is closed, so that nothing said later can block."""
    with contextlib.suppress(OSError):
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer to the process that waits
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _wait_for_the_end(parent: int) -> None:
    """Until the input ends; or, where a fork of the parent holds it open, until the parent is gone."""
    while os.getppid() == parent:
        ready, _, _ = select.select([sys.stdin], [], [], _LOOK_EVERY)
        if ready and not os.read(sys.stdin.fileno(), 1_024):
            return
