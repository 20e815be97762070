"""A console of our own: lines and a progress bar, while libraries that print are not heard."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

from quantum_monitor.cli_common import PROGRAM, shown
from quantum_monitor.log import LOG

_REDRAW_SECONDS = 0.1
_BAR_WIDTH = 20
_ERASE = "\r\x1b[K"
_STANDARD = (1, 2)


class Console(logging.Handler):
    """Writes to what were stdout and stderr when it was made, and as a log handler what our own package warns of.

    Args:
        out: file descriptor for results.
        err: file descriptor for complaints, and for the bar if it is a terminal.
    """

    def __init__(self, out: int, err: int) -> None:
        super().__init__(logging.WARNING)
        self._out, self._err = out, err
        self._has_bar = os.isatty(err)
        self._drawn = False
        self._redraw_at = 0.0

    def say(self, line: str) -> None:
        """One line of results."""
        self._erase()
        _write(self._out, shown(line) + "\n")

    def complain(self, reason: object) -> None:
        """What went wrong, in one line."""
        self._erase()
        _write(self._err, f"{PROGRAM}: {shown(reason)}\n")

    def note(self, line: str) -> None:
        """A line that only a person at a terminal needs."""
        if self._has_bar:
            self._erase()
            _write(self._err, shown(line) + "\n")

    def draw(self, name: str, done: int, total: int, rate: float) -> None:
        """Show the bar, a few times a second at most, if there is a terminal.

        Args:
            name: what is under way.
            done: records delivered so far.
            total: records to deliver.
            rate: records a second.
        """
        if not self._has_bar or time.monotonic() < self._redraw_at:
            return
        self._redraw_at = time.monotonic() + _REDRAW_SECONDS
        total = max(total, done, 1)
        full = _BAR_WIDTH * done // total
        numbers = f" [{'#' * full:-<{_BAR_WIDTH}}] {done:,}/{total:,} records, {rate:,.0f}/s"
        room = max(0, shutil.get_terminal_size().columns - 1 - len(numbers))
        _write(self._err, _ERASE + shown(name)[:room] + numbers)
        self._drawn = True

    def emit(self, record: logging.LogRecord) -> None:
        """A warning of our package."""
        self.complain(record.getMessage())

    def _erase(self) -> None:
        if self._drawn:
            _write(self._err, _ERASE)
            self._drawn, self._redraw_at = False, 0.0


@contextlib.contextmanager
def only_ours() -> Iterator[Console]:
    """A console, while whatever else this process and its children print goes nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in _STANDARD]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in _STANDARD:
        os.dup2(nowhere, stream)
    os.close(nowhere)
    console = Console(*kept)
    LOG.addHandler(console)
    try:
        yield console
    finally:
        LOG.removeHandler(console)
        console._erase()
        for python_stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                python_stream.flush()  # what was printed meanwhile, while there still is nowhere to hear it
        for stream, copy in zip(_STANDARD, kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)


class CtrlC:
    """Ctrl-C between two pieces of work: the first one waits for the piece under way, the second one does not.

    Outside of `piecewise` it takes effect at once.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._asked = self._working = False

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Listen for Ctrl-C."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextlib.contextmanager
    def piecewise(self) -> Iterator[None]:
        """Work that calls `between` between its pieces."""
        self._working = True
        try:
            yield
        except Exception:
            self.between()
            raise
        finally:
            self._working = False

    def between(self) -> None:
        """A piece is done.

        Raises:
            KeyboardInterrupt: it was asked for meanwhile.
        """
        if self._asked:
            raise KeyboardInterrupt

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked or not self._working:
            raise KeyboardInterrupt
        self._asked = True
        self._console.note("ends when this piece is delivered; Ctrl-C once more ends it at once")


def _write(descriptor: int, text: str) -> None:
    """Without a buffer: a signal handler may write in the middle of a write."""
    rest = text.encode(errors="backslashreplace")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
