"""The command ``quantum-monitor compare``: is run B better than run A."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from quantum_monitor.cli_common import Commands, FailureError, runs_in, shown
from quantum_monitor.store.runfile import replacing

if TYPE_CHECKING:
    from quantum_monitor.comparison.runs import Runs

_FORMATS = {"text": ".txt", "json": ".json", "html": ".html"}
_TESTS = ("auto", "welch", "mann-whitney", "paired")
_STATUSES = ("failed", "killed", "running")
_STORAGE = Path("quantum_monitoring")
_PAGE = Path("comparison.html")
_NAMED_AT_MOST = 10


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "compare", help="say whether the runs of one group are better than those of another",
        description="A and B are each a run's directory, an experiment's folder, or what runs are called: a name, the "
        "beginning of an id, an experiment, EXPERIMENT/NAME, a parameter or tag such as optimizer=adam, a pattern such "
        "as 'vqe-*', or several of these with commas between them. docs/comparison.md says how the test is chosen.",
    )  # fmt: skip
    parser.add_argument("a", metavar="A", help="the runs to compare with")
    parser.add_argument("b", metavar="B", help="the runs that may be better")
    parser.add_argument("--storage", type=Path, metavar="DIR",
                        help=f"folder in which A and B are looked for; ./{_STORAGE} unless given")  # fmt: skip
    parser.add_argument("--metric", action="append", metavar="NAME",
                        help="only this one, or those of a pattern; repeatable; fewer show more")  # fmt: skip
    parser.add_argument("--reach", action="append", type=_aim, metavar="FIELD=VALUE",
                        help="compare the step at which runs reach it: loss=0.01; repeatable")  # fmt: skip
    parser.add_argument("--include", action="append", choices=_STATUSES, metavar="STATUS",
                        help="count runs of this status, too: failed, killed or running; repeatable")  # fmt: skip
    parser.add_argument("--test", choices=_TESTS, default="auto", help="auto unless given")
    parser.add_argument("--confidence", type=_share, default=0.95, metavar="C",
                        help="of the intervals; 0.95 unless given")  # fmt: skip
    parser.add_argument("--format", choices=_FORMATS,
                        help="as the ending of --output says unless given; else text")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="PATH",
                        help=f"the file; standard output unless given, ./{_PAGE} for html")  # fmt: skip
    parser.set_defaults(run_command=_compare)


def _aim(text: str) -> tuple[str, float]:
    field, _, value = text.partition("=")
    try:
        aim = float(value)
    except ValueError:
        aim = math.nan
    if not field or not math.isfinite(aim):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE, such as loss=0.01")
    return field, aim


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0.5 <= share < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0.5 and 1; 0.95 is usual")
    return share


def _compare(arguments: argparse.Namespace) -> int:
    from quantum_monitor.comparison import compare_runs

    target: Path | None = arguments.output
    kind = arguments.format or ("text" if target is None else _kind(target))
    if kind == "html" and target is None:
        target = _PAGE
    groups = [_chosen(text, arguments.storage) for text in (arguments.a, arguments.b)]
    try:
        comparison = compare_runs(
            *groups,
            metrics=arguments.metric,
            confidence=arguments.confidence,
            test=arguments.test,
            include=arguments.include or (),
            aims=dict(arguments.reach or ()),
        )
    except ValueError as error:
        raise FailureError(str(error)) from error
    content = {"text": comparison.to_text, "json": comparison.to_json, "html": comparison.to_html}[kind]()
    if target is None:
        print(content, end="")
        return 0
    if not target.parent.is_dir():
        raise FailureError(f"--output: there is no folder {target.parent}; make it, or give another")
    with replacing(target) as stream:
        stream.write(content)
    print(shown(target))
    return 0


def _kind(target: Path) -> str:
    """The format that a file's ending says.

    Raises:
        FailureError: it says none.
    """
    for kind, ending in _FORMATS.items():
        if target.suffix.lower() == ending:
            return kind
    raise FailureError(f"--output: {target.name!r} ends in none of {', '.join(_FORMATS.values())}; or give --format")


def _chosen(text: str, storage: Path | None) -> Runs:
    """The runs that an argument means: a folder that exists, unless a storage folder is named that has such runs.

    Raises:
        FailureError: there are none.
    """
    from quantum_monitor.comparison import select_runs
    from quantum_monitor.comparison.runs import Named

    if storage is None and Path(text).is_dir():
        runs_in(Path(text))
        return text
    folder = _STORAGE if storage is None else storage
    if storage is not None or folder.is_dir():
        runs_in(folder)
        # The whole first: a name may have commas.
        found = select_runs(folder, text) or select_runs(folder, *filter(None, map(str.strip, text.split(","))))
        if found:
            return Named(text, found)
    if Path(text).is_dir():
        runs_in(Path(text))
        return text
    known = _holds(folder, text) if folder.is_dir() else "name a folder with --storage"
    raise FailureError(f"{text!r} is no folder of runs, and {known}")


def _holds(folder: Path, text: str) -> str:
    """What was looked for in a folder in vain, patterns that find something, and what runs are called there."""
    from quantum_monitor.comparison import select_runs

    missing = f"{folder} holds no run of that name, experiment, parameter, tag, pattern or id"
    tried = [[f"{part}-*", f"{part}*", f"*{part}*"] for part in map(str.strip, text.split(",")) if part]
    found = [next((pattern for pattern in patterns if select_runs(folder, pattern)), None) for patterns in tried]
    near = ",".join(filter(None, found))
    names = sorted({str(run.info.get("name") or run.directory.name) for run in select_runs(folder, "*")})
    some = ", ".join(names[:_NAMED_AT_MOST]) + (", ..." if len(names) > _NAMED_AT_MOST else "")
    return missing + (f"; try {near!r}" if near else "") + (f"; it holds {some}" if some else "")
