"""A server program on loopback, for as long as a test needs it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_PORTS_TRIED = 5

Server = TypeVar("Server", bound="ServerProcess")


def eventually(holds: Callable[[], object], *, seconds: float = 60, what: str = "it") -> None:
    """Wait until something holds, against a deadline that a busy machine meets as well."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.05)


class ServerProcess(ABC):
    """A server of the Prometheus family: `start` and `stop` as often as needed, on the same port, with the same data.

    Args:
        folder: where its configuration, data and log go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @abstractmethod
    def command(self) -> list[str | Path]:
        """The command that starts it at `address`; called before each start."""

    def __enter__(self: Server) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What it has said since it was started last."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_PORTS_TRIED):  # between finding a free port and listening on it, another process may take it
            self._port = self._port or _free_port()
            command = self.command()
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
            if self._comes_up(self._process):
                return
            assert "address already in use" in self.log, self.log
            self._port = 0
        raise AssertionError(f"none of {_PORTS_TRIED} ports was still free")

    def stop(self) -> None:
        """End it, as a service manager would."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.request("GET", "/-/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Status and body of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def _log(self) -> Path:
        return self._folder / f"{type(self).__name__.lower()}.log"

    def _comes_up(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            eventually(lambda: process.poll() is not None or self.is_ready(), what=f"the start of {self._log.stem}")
        except BaseException:
            self.stop()
            raise
        return process.poll() is None


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
