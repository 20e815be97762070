"""How to go on from a report: the commands that look further into its run, as they are to be typed."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from quantum_monitor.store.layout import is_run, start_time
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers.state import StateFile, destinations
from quantum_monitor.views.report_data import Facts
from quantum_monitor.views.report_model import Chapter, Command, Paragraph, chapter
from quantum_monitor.views.report_sections import without_folders

_NEIGHBOURS_AT_MOST = 300
_OTHER = "OTHER_RUN"
_A_TEST = "whether one is better takes a test, of three runs or more on each side, such as 'adam-*' against 'sgd-*'"

_IN_PYTHON = """\
from quantum_monitor.store.reader import StoredRun

run = StoredRun({run!r})
run.fields()                  # what was recorded
loss = run.series("loss")     # arrays: loss.time, loss.step, loss.value"""


class _Place(NamedTuple):
    """Where a run is, without the folders around it, whose names often name a person.

    Attributes:
        run: its directory.
        folder: the storage folder, or the experiment's where that is all that the working folder holds.
        start: the sentence that says from where these paths lead.
    """

    run: str
    folder: str
    start: str


def go_on(run: StoredRun, facts: Facts, *, closing: bool) -> Chapter:
    """The commands.

    Args:
        run: the run.
        facts: what is known of it.
        closing: whether this is the report of a delivery about to close the run at its tracker.
    """
    training = _training(facts.info)
    if not run.directory.is_dir():  # its records are in memory
        return chapter("Go on from here", *training)
    place = _place(run.directory)
    if not (place.run + place.folder).isprintable():
        odd = Paragraph("The name of the run's folder has characters that no command can be typed with.")
        return chapter("Go on from here", odd, *training)
    return chapter("Go on from here", Paragraph(place.start), *_commands(run, facts, place, closing=closing), *training)


def outstanding(run: StoredRun, facts: Facts, *, closing: bool = False) -> list[str]:
    """The trackers that have not received the whole run, as the files beside it tell.

    Args:
        run: the run.
        facts: what is known of it.
        closing: whether a run that was received, but not closed, counts as delivered.
    """
    tracking = facts.info.get("tracking")
    last, over = run.last_sequence, facts.status != "running"
    waiting = []
    for tracker in tracking if isinstance(tracking, Mapping) else ():
        states = [StateFile(run.directory, tracker, place).load() for place in destinations(run.directory, tracker)]
        if not any(state.cursor >= last and (state.closed or closing or not over) for state in states):
            waiting.append(tracker)
    return waiting


def _commands(run: StoredRun, facts: Facts, place: _Place, *, closing: bool) -> Iterator[Command]:
    waiting = outstanding(run, facts, closing=closing)
    if waiting:
        yield Command(f"Deliver what {' and '.join(waiting)} did not receive yet:", _line("sync", place.run))
    if facts.status == "running":
        yield Command("Make this report again, with what was recorded since:", _line("report", place.run))
    yield Command("Look at the runs in the browser, also while they go:", _line("dashboard", place.folder))
    other = _neighbour(run.directory)
    if other is None:
        what = f"Put its values beside those of another run, whose directory takes the place of {_OTHER}; {_A_TEST}:"
        yield Command(what, _line("compare", _OTHER, place.run, *_included(facts.status)))
    else:
        what = f"Put its values beside those of the latest other run of the experiment; {_A_TEST}:"
        path, status = other
        them = str(Path(place.run).with_name(path.name))
        yield Command(what, _line("compare", them, place.run, *_included(facts.status, status)))
    yield Command("Write every record to a file, for a spreadsheet:", _line("export", place.run, "--format", "csv"))
    yield Command("Load it in Python:", _IN_PYTHON.format(run=place.run), "python")


def _included(*statuses: str) -> list[str]:
    """The options that make a comparison count runs that did not end well."""
    others = sorted(set(statuses) & {"failed", "killed", "running"})
    return [part for status in others for part in ("--include", status)]


def _line(command: str, *arguments: str) -> str:
    return shlex.join(("quantum-monitor", command, *arguments))


def _place(directory: Path) -> _Place:
    run = directory.resolve()
    storage, experiment = run.parent.parent, run.parent
    try:
        here = Path.cwd()
    except OSError:  # it was deleted
        here = run
    for folder in (storage, experiment):
        if folder.is_relative_to(here):
            start = "The paths begin at the folder in which this report was made."
            return _Place(_relative(run, here), _relative(folder, here), start)
    start = "The paths begin at the storage folder, the one that holds the experiment's: go there first."
    return _Place(_relative(run, storage), ".", start)


def _relative(path: Path, start: Path) -> str:
    return _no_option(str(path.relative_to(start)))


def _no_option(path: str) -> str:
    """A path that no command takes for an option."""
    return f"./{path}" if path.startswith("-") else path


def _neighbour(directory: Path) -> tuple[Path, str] | None:
    """The run of the experiment that began last, of the first few hundred there, and its status; None without one."""
    this = directory.resolve()
    try:
        others = [path for path in islice(this.parent.iterdir(), _NEIGHBOURS_AT_MOST) if path.name != this.name]
        runs = [path for path in others if path.name.isprintable() and is_run(path)]
    except OSError:
        return None
    for path in sorted(runs, key=start_time, reverse=True):
        with contextlib.suppress(OSError, ValueError):  # one that is damaged is nothing to compare with
            return path, StoredRun(path).status
    return None


def _training(info: Mapping[str, Any]) -> Iterator[Command]:
    """How the training was started, as far as it is known: arguments are not recorded, since they may be secrets."""
    surroundings = info.get("environment")
    known = surroundings if isinstance(surroundings, Mapping) else {}
    script, git = known.get("script"), known.get("git")
    commit = str(git.get("commit", ""))[:12] if isinstance(git, Mapping) else ""
    at = f" at commit {commit}" if commit.isalnum() else ""
    by_us, module = info.get("command") == "run", info.get("module")
    if by_us and isinstance(module, str) and module and module.isprintable():
        what = f"Train again{at}, from the folder where it was started; its arguments were not recorded:"
        yield Command(what, _line("run", "-m", module))
        return
    if not isinstance(script, str) or not script or not script.isprintable():
        return
    name = without_folders(script)
    start = "the folder of the script" if Path(name).name == name else "the top of its checkout"
    what = f"Train again{at}, from {start}; the arguments of the script were not recorded:"
    path = _no_option(name)
    yield Command(what, _line("run", path) if by_us else shlex.join(("python", path)))
