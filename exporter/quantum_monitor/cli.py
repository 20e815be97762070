"""The command line: ``quantum-monitor demo | run | estimate | dashboard | report | compare | export | ...``."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from quantum_monitor import (
    cli_assets,
    cli_compare,
    cli_dashboard,
    cli_estimate,
    cli_report,
    cli_run,
    cli_stack,
    cli_sync,
    cli_watch_job,
)
from quantum_monitor._version import __version__
from quantum_monitor.cli_common import (
    FAILED,
    INTERRUPTED,
    MISUSED,
    PROGRAM,
    FailureError,
    chosen,
    complain,
    file_for,
    runs_in,
    shown,
    whole,
)
from quantum_monitor.config import ConfigurationError, check
from quantum_monitor.store.export import export_run
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.retention import delete, parse_retention, plan

if TYPE_CHECKING:
    from quantum_monitor.store.retention import RunToDelete

_FORMATS = {"json": "json", "csv": "csv", "comprehensive": "json"}
_DAY = 86_400.0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments; those of the process unless given.

    Returns:
        The exit status: 0 done, 1 failed, 2 misused, 130 interrupted. What went wrong stands on one line of stderr.
    """
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run_command(arguments)
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has had enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except ConfigurationError as error:
        for problem in error.problems:
            complain(problem)
        return FAILED
    except FailureError as error:
        for sentence in str(error).splitlines():
            complain(sentence)
        return FAILED
    except OSError as error:
        complain(error)
        return FAILED
    script: Callable[[], int] | None = getattr(arguments, "script", None)  # of `run`: what it raises is its own
    return status if script is None else script()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(PROGRAM, description="Prometheus metrics from inside the training of a quantum circuit.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="trace the energy of H2 from bond to bond, with metrics to scrape")
    demo.add_argument("--serve", action="store_true", help="keep serving the metrics until interrupted")
    demo.add_argument("--steps", type=whole(1), default=100, metavar="N",
                      help="training steps for each bond length; 100 unless given")  # fmt: skip
    demo.add_argument("--port", type=whole(0, 65_535), default=9888, metavar="N",
                      help="port of the metrics; 9888 unless given, 0 for any free one")  # fmt: skip
    demo.add_argument("--storage", type=Path, metavar="DIR", help="folder that the runs are kept in")
    demo.set_defaults(run_command=_demo)

    cli_run.add_command(commands)
    cli_estimate.add_command(commands)
    cli_watch_job.add_command(commands)
    cli_dashboard.add_command(commands)
    cli_report.add_command(commands)
    cli_compare.add_command(commands)

    export = commands.add_parser("export", help="write stored runs to files")
    export.add_argument("dir", type=Path, metavar="DIR", help="a run's directory, an experiment's or a storage folder")
    export.add_argument("--format", choices=_FORMATS, default="json", help="json unless given")
    export.add_argument("--output", type=Path, metavar="PATH",
                        help="the file; a folder for several runs; the working directory unless given")  # fmt: skip
    export.add_argument("--run", metavar="R", help="only the runs of that name, or whose id begins so")
    export.set_defaults(run_command=_export)

    clean = commands.add_parser(
        "clean", help="delete old runs",
        description="Shows what it would delete and asks. Without a terminal to ask on it deletes nothing and exits "
        "with status 2, unless --yes is given. Runs that are being written stay.",
    )  # fmt: skip
    clean.add_argument("dir", type=Path, metavar="DIR", help="a storage folder, or an experiment's")
    rule = clean.add_mutually_exclusive_group(required=True)
    rule.add_argument("--older-than", type=_age, metavar="AGE", help="runs that ended longer ago: 12h, 30d, 2w")
    rule.add_argument("--keep-last", type=whole(1), metavar="N", help="all but the last N of each experiment")
    clean.add_argument("--yes", action="store_true", help="do not ask")
    clean.set_defaults(run_command=_clean)

    check_config = commands.add_parser("check", help="say what is wrong in a configuration file, all at once")
    check_config.add_argument("config", type=Path, metavar="CONFIG", help="the YAML file")
    check_config.set_defaults(run_command=_check)

    cli_sync.add_command(commands)
    cli_stack.add_command(commands)
    cli_assets.add_command(commands)
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    from quantum_monitor import demo

    return demo.main(arguments)


def _export(arguments: argparse.Namespace) -> int:
    runs = chosen(runs_in(arguments.dir), arguments.run, arguments.dir)
    failed = False
    for run in runs:
        target = file_for(run, arguments.output, _FORMATS[arguments.format], single=len(runs) == 1)
        try:
            written = export_run(StoredRun(run), target, arguments.format)
        except (OSError, ValueError, sqlite3.Error) as error:
            complain(f"{run} was not exported: {error}")
            failed = True
        else:
            print(shown(written))
    return FAILED if failed else 0


def _clean(arguments: argparse.Namespace) -> int:
    if not arguments.dir.is_dir():
        raise FailureError(f"{arguments.dir} is not a folder; give a storage folder, such as ./quantum_monitoring")
    going = plan(arguments.dir, older_than=arguments.older_than, keep_last=arguments.keep_last)
    if not going:
        print("Nothing to delete.")
        return 0
    _show(going)
    if not arguments.yes:
        if not sys.stdin.isatty():
            complain("nothing was deleted, for there is no terminal to ask on; give --yes")
            return MISUSED
        if not _agrees(f"Delete {_counted(len(going))}? [y/N] "):
            print("Nothing was deleted.")
            return 0
    outcome = delete(going)
    for path, reason in outcome.failed:
        complain(f"{path} stays: {reason}")
    print(f"Deleted {_counted(len(outcome.deleted))}, {_size(outcome.freed_bytes)}.")
    return FAILED if outcome.failed else 0


def _show(going: list[RunToDelete]) -> None:
    now = time.time()
    for run in going:
        age = (now - run.started) / _DAY
        print(f"{age:8.1f} days  {_size(run.size_bytes):>10}  {shown(run.path)}  ({shown(run.name)}: {run.reason})")
    print(f"{_counted(len(going))}, {_size(sum(run.size_bytes for run in going))}")


def _agrees(question: str) -> bool:
    try:
        return input(question).strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _check(arguments: argparse.Namespace) -> int:
    problems = check(arguments.config)
    for problem in problems:
        print(shown(f"{arguments.config}: {problem}"))
    if not problems:
        print(shown(f"{arguments.config}: OK"))
    return FAILED if problems else 0


def _age(text: str) -> float:
    try:
        age = parse_retention(text)["older_than"]
    except ValueError:
        age = None
    if age is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; give one such as 12h, 30d or 2w")
    return age


def _counted(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1_000 or unit == "GB":
            break
        size /= 1_000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


if __name__ == "__main__":
    sys.exit(main())
