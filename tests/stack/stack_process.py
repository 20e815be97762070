"""`quantum-monitor stack` in a process of its own, as a terminal runs it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.server_process import eventually

# A background job of a shell is started with SIGINT ignored; the stack listens to it all the same, as it should.
COMMAND = (sys.executable, "-m", "quantum_monitor.cli", "stack")


class Stack:
    """A running stack, its output in files of its folder."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        ports = ("--prometheus-port", "0", "--alertmanager-port", "0", "--scrape-interval", "1")
        command = [*COMMAND, "--data", str(self.data), *ports, *map(str, arguments)]  # a later option is the stronger
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        eventually(lambda: "Ctrl-C" in self.output or self.process.poll() is not None, what="the start of the stack")
        self.servers = psutil.Process(self.process.pid).children() if self.process.poll() is None else []

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._out.read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        """What it has complained of."""
        return self._err.read_text(encoding="utf-8")

    def url(self, server: str) -> str:
        """The address that it printed for a server."""
        found = re.search(rf"^{server} +(http://127\.0\.0\.1:\d+)$", self.output, re.MULTILINE)
        assert found, self.output + self.errors
        return found[1]

    def ask(self, server: str, path: str) -> Any:
        """An answer of the API of a server."""
        with urllib.request.urlopen(self.url(server) + path, timeout=30) as response:
            return json.load(response)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def server(self, name: str) -> psutil.Process:
        """The process of a server, by a part of its configuration's name."""
        [found] = [server for server in self.servers if any(f"{name}.yml" in word for word in server.cmdline())]
        return found

    def has_left_nothing(self) -> bool:
        """Whether every server has ended."""
        return not any(server.is_running() and server.status() != psutil.STATUS_ZOMBIE for server in self.servers)
