"""The command ``quantum-monitor report``: one file a run that says what was recorded, and what was not."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

from quantum_monitor.cli_common import FAILED, Commands, FailureError, chosen, complain, file_for, runs_in, shown
from quantum_monitor.store.reader import StoredRun

_FORMATS = ("html", "md")


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "report", help="write a report of stored runs, to read and to send",
        description="Writes one file a run, which needs and loads nothing else. Figures take the extra: pip install "
        "'quantum-monitor[views]'. A run that is being written is reported as far as it goes.",
    )  # fmt: skip
    parser.add_argument("dir", type=Path, metavar="DIR", help="a run's directory, an experiment's or a storage folder")
    parser.add_argument("--run", metavar="R", help="only the runs of that name, or whose id begins so")
    parser.add_argument("--format", choices=_FORMATS,
                        help="as the ending of --output says unless given; else html; md is Markdown")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="PATH",
                        help="the file; a folder for several runs; the working directory unless given")  # fmt: skip
    parser.add_argument("--without-figures", action="store_true", help="a small page without scripts")
    parser.set_defaults(run_command=_report)


def _report(arguments: argparse.Namespace) -> int:
    from quantum_monitor.views.export import check_folder
    from quantum_monitor.views.report import generate_report

    runs = chosen(runs_in(arguments.dir), arguments.run, arguments.dir)
    output: Path | None = arguments.output
    kind = arguments.format or _FORMATS[0]
    if output is not None and len(runs) == 1 and not output.is_dir():
        kind = _kind(output, arguments.format)
        try:
            check_folder(output, "--output")
        except FileNotFoundError as error:
            raise FailureError(str(error)) from error
    failed = False
    for run in runs:
        target = file_for(run, output, kind, single=len(runs) == 1)
        figures = not arguments.without_figures
        try:
            written = generate_report(StoredRun(run), target, format=kind, include_visualizations=figures)
        except (OSError, ValueError, sqlite3.Error) as error:
            complain(f"there is no report of {run}: {error}")
            failed = True
        else:
            print(shown(written))
    return FAILED if failed else 0


def _kind(output: Path, wanted: str | None) -> str:
    """The format that a file's ending says.

    Raises:
        FailureError: it says none, or another than is wanted.
    """
    ending = output.suffix.lower().removeprefix(".")
    if wanted is not None and ending != wanted:
        raise FailureError(f"--output: {output.name!r} does not end in .{wanted}, which --format {wanted} asks for")
    if ending not in _FORMATS:
        known = ", ".join(f".{kind}" for kind in _FORMATS)
        raise FailureError(f"--output: {output.name!r} ends in none of {known}; or give a folder that exists")
    return ending
