"""What the commands share: exit statuses, expected failures, numbers of the command line, safe output."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Any]"
"""Where a command adds itself."""

PROGRAM = "quantum-monitor"
FAILED, MISUSED, INTERRUPTED = 1, 2, 130


class FailureError(Exception):
    """Expected trouble: the sentences, one a line, are all that the person needs."""


def whole(low: int, high: int = 1_000_000_000) -> Callable[[str], int]:
    """A reader for ``argparse`` of whole numbers from ``low`` to ``high``."""

    def read(text: str) -> int:
        if not text.isdecimal() or len(text) > len(str(high)) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def complain(reason: object) -> None:
    """Say what went wrong, in one line on stderr."""
    print(f"{PROGRAM}: {shown(reason)}", file=sys.stderr)


def shown(text: object) -> str:
    """The text in one line and without what a terminal would obey: names of runs come from anywhere."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))
