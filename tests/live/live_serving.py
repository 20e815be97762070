"""The live page's server in a thread of the tests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from quantum_monitor.views.live.server import LiveServer


@contextlib.contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[LiveServer]:
    server = LiveServer(folder, port=port)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
