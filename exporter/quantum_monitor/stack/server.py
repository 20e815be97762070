"""One server: a child process that ends with its parent, its log, and whether it answers."""

from __future__ import annotations

import ctypes
import http.client
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from quantum_monitor.stack import StackError
from quantum_monitor.stack.ports import LOOPBACK

_PR_SET_PDEATHSIG = 1
_ANSWER_SECONDS = 2.0
_LINES_SHOWN = 12


class Server:
    """A server that was started.

    Args:
        name: for people.
        command: the program and its arguments.
        port: where it is to answer, on loopback.
        log: the file that takes what it writes; emptied first.

    Attributes:
        name: for people.
        port: where it answers.
        log: the file with what it wrote.

    Raises:
        StackError: the program cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str | Path], *, port: int, log: Path) -> None:
        self.name, self.port, self.log = name, port, log
        try:
            with log.open("wb") as output:
                # In a session of its own, Ctrl-C on the terminal reaches the parent only, which ends it in good order.
                self._process = subprocess.Popen(  # noqa: S603 - a program of the person's PATH, with our arguments
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509 - this process has no second thread
                )
        except OSError as error:
            raise StackError(f"{name} cannot be started: {error}") from error

    @property
    def url(self) -> str:
        """Its page."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def is_ready(self) -> bool:
        """Whether it answers."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def found_its_port_taken(self) -> bool:
        """Whether it ended because another process was quicker to listen."""
        return self.status is not None and any("address already in use" in line for line in self.last_lines())

    def last_lines(self) -> list[str]:
        """The end of its log."""
        with self.log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip() for line in deque(file, _LINES_SHOWN)]

    def ask_to_end(self) -> None:
        """Send SIGTERM. One that has ended already is left alone."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def _end_with(parent: int) -> Callable[[], None] | None:
    """What the child does before it becomes the server, so that it outlives no parent, however that one ends."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended in the meantime
            os._exit(1)

    return in_child
