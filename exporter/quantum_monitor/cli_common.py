"""What the commands share: exit statuses, expected failures, choice of runs, numbers as arguments, safe output."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

Commands: TypeAlias = "argparse._SubParsersAction[Any]"
"""Where a command adds itself."""

PROGRAM = "quantum-monitor"
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

_RUNS_NAMED_AT_MOST = 10


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
    """Say what went wrong, in one line on stderr, where there is one."""
    if sys.stderr is not None:
        print(f"{PROGRAM}: {shown(reason)}", file=sys.stderr)


def shown(text: object) -> str:
    """The text in one line and without what a terminal would obey: names of runs come from anywhere."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def runs_in(folder: Path) -> list[Path]:
    """The runs at or below a folder; at least one.

    Raises:
        FailureError: there is none.
    """
    if not folder.is_dir():
        raise FailureError(f"{folder} is not a folder; give a storage folder, such as ./quantum_monitoring")
    runs = find_runs(folder)
    if not runs:
        raise FailureError(f"{folder} holds no runs; give a storage folder, such as ./quantum_monitoring")
    return runs


def chosen(runs: list[Path], wanted: str | None, folder: Path) -> list[Path]:
    """The runs in a folder that have the name; where none has, whose id begins so; all where nothing is wanted.

    Raises:
        FailureError: there is none.
    """
    if wanted is None:
        return runs
    names = {run: _name(run) for run in runs}
    named = [run for run, name in names.items() if name == wanted]
    found = named or [run for run in runs if run.name.startswith(wanted)]
    if not found:
        known = sorted(set(names.values()))
        some = ", ".join(known[:_RUNS_NAMED_AT_MOST]) + (", ..." if len(known) > _RUNS_NAMED_AT_MOST else "")
        raise FailureError(f"{folder} holds no run {wanted!r}; it holds {some}")
    return found


def file_for(run: Path, output: Path | None, ending: str, *, single: bool) -> Path:
    """Where what is written of a run goes: the file that was asked for, else one named by the run in that folder."""
    if output is not None and single and not output.is_dir():
        return output
    folder = Path() if output is None else output
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{run.parent.name}-{run.name}.{ending}"


def _name(run: Path) -> str:
    try:
        return str(StoredRun(run).info.get("name", run.name))
    except (OSError, ValueError):
        return run.name
