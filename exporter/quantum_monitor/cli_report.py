"""The command ``quantum-monitor report``: one file a run that says what was recorded, and what was not."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

from quantum_monitor.cli_common import FAILED, Commands, chosen, complain, file_for, runs_in, shown
from quantum_monitor.store.reader import StoredRun


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "report", help="write a report of stored runs, to read and to send",
        description="Writes one file a run, which needs and loads nothing else. Figures take the extra: pip install "
        "'quantum-monitor[views]'. A run that is being written is reported as far as it goes.",
    )  # fmt: skip
    parser.add_argument("dir", type=Path, metavar="DIR", help="a run's directory, an experiment's or a storage folder")
    parser.add_argument("--run", metavar="R", help="only the runs of that name, or whose id begins so")
    parser.add_argument("--format", choices=("html", "md"), default="html", help="html unless given; md is Markdown")
    parser.add_argument("--output", type=Path, metavar="PATH",
                        help="the file; a folder for several runs; the working directory unless given")  # fmt: skip
    parser.add_argument("--without-figures", action="store_true", help="a small page without scripts")
    parser.set_defaults(run_command=_report)


def _report(arguments: argparse.Namespace) -> int:
    from quantum_monitor.views.report import generate_report

    runs = chosen(runs_in(arguments.dir), arguments.run, arguments.dir)
    failed = False
    for run in runs:
        target = file_for(run, arguments.output, arguments.format, single=len(runs) == 1)
        figures = not arguments.without_figures
        try:
            written = generate_report(StoredRun(run), target, format=arguments.format, include_visualizations=figures)
        except (OSError, ValueError, sqlite3.Error) as error:
            complain(f"there is no report of {run}: {error}")
            failed = True
        else:
            print(shown(written))
    return FAILED if failed else 0
