"""The command ``quantum-monitor sync``: what stored runs still hold for their trackers, delivered by hand."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quantum_monitor.cli_common import FAILED, MISUSED, Commands, chosen, complain, runs_in
from quantum_monitor.names import LABEL_LENGTH, text
from quantum_monitor.store import runfile
from quantum_monitor.store.reader import StoredRun

if TYPE_CHECKING:
    from quantum_monitor.cli_console import Console, CtrlC
    from quantum_monitor.config import Settings
    from quantum_monitor.trackers.delivery import Delivery, Progress
    from quantum_monitor.trackers.recorded import Elsewhere

# Before each further try: one more than a delivery takes to do without a store of artifacts that takes nothing.
_PAUSES = (1.0, 2.0, 2.0)
_UNREACHABLE_AT_MOST = 3
_ERROR_LENGTH = 1_000
_SHORT_ID = 8
_AGAIN = "what was delivered stays delivered; sync again once that is mended"


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "sync", help="deliver to MLflow, W&B or other trackers what stored runs still hold for them",
        description="Delivers what is not delivered yet; running it twice delivers nothing twice. Runs that are being "
        "written are delivered as far as they go and left open.",
    )  # fmt: skip
    parser.add_argument("dir", type=Path, metavar="DIR", help="a run's directory, an experiment's or a storage folder")
    parser.add_argument("--to", action="append", type=_tracker, metavar="TRACKER",
                        help="mlflow, wandb or one that a package brings; repeatable; those that each run was meant "
                        "for unless given")  # fmt: skip
    parser.add_argument("--run", metavar="R", help="only the runs of that name, or whose id begins so")
    parser.add_argument("--tracking-uri", metavar="URI", help="where MLflow is; where each run went unless given")
    parser.add_argument("--over", action="store_true",
                        help="runs that read as running on another host are over; else they are once they have "
                        "recorded nothing for ten minutes")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with the options of trackers")
    parser.set_defaults(run_command=_sync)


def _tracker(name: str) -> str:
    from quantum_monitor.trackers import finding

    if name not in (known := finding.names()):
        raise argparse.ArgumentTypeError(f"there is no tracker {name!r} here; there are {', '.join(known)}")
    return name


def _sync(arguments: argparse.Namespace) -> int:
    from quantum_monitor.cli_console import CtrlC, only_ours
    from quantum_monitor.config import load_settings
    from quantum_monitor.trackers.service import MODEST

    wanted = list(dict.fromkeys(arguments.to or ()))
    if arguments.tracking_uri is not None and wanted and "mlflow" not in wanted:
        complain(f"--tracking-uri is for MLflow, which --to {' --to '.join(wanted)} leaves out; add --to mlflow")
        return MISUSED
    settings = load_settings({"tracking_uri": arguments.tracking_uri}, config=arguments.config)
    runs = chosen(runs_in(arguments.dir), arguments.run, arguments.dir)
    for name, value in MODEST.items():
        os.environ.setdefault(name, value)
    with only_ours() as console:
        ctrl_c = CtrlC(console)
        sync = _Sync(settings, console, ctrl_c, over=arguments.over)
        with ctrl_c.heard():
            for run in runs:
                sync.run(run, wanted)
        sync.say_what_was_left_out()
    if sync.meant_for_none == len(runs):
        complain(f"{arguments.dir}: no run was meant for a tracker; name one, such as --to mlflow")
        return MISUSED
    return FAILED if sync.failed else 0


class _Trip(NamedTuple):
    """One run on its way to one tracker.

    Attributes:
        name: of both, for people.
        tracker: the tracker's name.
        destination: where that is.
        delivery: what brings it there.
        open_because: why the run will stay open; empty if it is over.
    """

    name: str
    tracker: str
    destination: str
    delivery: Delivery
    open_because: str


class _Sync:
    """Goes from run to run; knows which places are not worth another try.

    Attributes:
        failed: whether anything went wrong.
        meant_for_none: how many runs name no tracker, where none was asked for.
    """

    def __init__(self, settings: Settings, console: Console, ctrl_c: CtrlC, *, over: bool) -> None:
        self._settings, self._console, self._ctrl_c, self._over = settings, console, ctrl_c, over
        self._unreachable: Counter[str] = Counter()  # by place: runs in a row that found no connection
        self._given_up: dict[str, int] = {}  # by place: runs that were not tried
        self.failed = False
        self.meant_for_none = 0

    def run(self, directory: Path, wanted: list[str]) -> None:
        """Deliver one run to the trackers that are wanted, else to those it was meant for."""
        from quantum_monitor.trackers import recorded

        self._ctrl_c.between()
        name = directory.name
        try:
            run = StoredRun(directory)
            name = _name(run)
            elsewhere = recorded.elsewhere(run)
            trackers = wanted or recorded.trackers(run.info)
        except (OSError, ValueError, sqlite3.Error) as error:
            self._fail(name, error, "restore its directory from a copy, or remove it")
            return
        if not trackers:
            self.meant_for_none += 1
        for tracker in trackers:
            trip = self._begin(run, f"{name} to {tracker}", tracker, elsewhere)
            if trip is not None:
                self._go(trip)

    def say_what_was_left_out(self) -> None:
        """How many runs were not tried, and why."""
        for place, runs in self._given_up.items():
            if runs:
                self._fail(place, f"{_counted(runs, 'more run')} not tried", "sync again once it can be used")
        if self.meant_for_none:
            self._console.say(f"{_counted(self.meant_for_none, 'run')} not meant for a tracker; --to names one")

    def _begin(self, run: StoredRun, name: str, tracker: str, elsewhere: Elsewhere | None) -> _Trip | None:
        """The delivery; None where there is none to make, which has been said."""
        from quantum_monitor.trackers import finding, recorded
        from quantum_monitor.trackers.delivery import Delivery
        from quantum_monitor.trackers.protocol import UnusableError

        over = elsewhere is not None and (self._over or elsewhere.silent >= recorded.SILENCE_SECONDS)
        try:
            made = finding.make(tracker, recorded.options(tracker, run, self._settings))
            delivery = Delivery(run, tracker, made, directory=run.directory, over=over)
            trip = _Trip(name, tracker, made.destination, delivery, _why_open(run, elsewhere, over=over))
            if delivery.pending():
                return trip
        except (UnusableError, recorded.UndecidedError) as error:
            self._fail(name, text(error))
        except (OSError, sqlite3.Error) as error:
            self._fail(name, error, _AGAIN)
        except Exception as error:  # noqa: BLE001 - a factory of a plug-in may raise anything
            self._fail(name, error, f"give the options of {tracker} with --config")
        else:
            self._console.say(_line(trip, "up to date"))
        return None

    def _go(self, trip: _Trip) -> None:
        """Deliver, unless that has proved to be in vain; what goes wrong is said."""
        from quantum_monitor.trackers.protocol import UnusableError
        from quantum_monitor.trackers.state import BusyError

        place = f"{trip.tracker} ({trip.destination})"
        if place in self._given_up:
            self._given_up[place] += 1
            return
        try:
            self._deliver(trip)
            self._unreachable[place] = 0
        except BusyError:
            self._console.say(f"{trip.name}: skipped, for another process delivers it there at the moment")
        except UnusableError as error:
            self._given_up[place] = 0
            self._fail(trip.name, text(error))
        except Exception as error:  # noqa: BLE001 - a tracker may raise anything, which must not end the others
            self._fail(trip.name, error, _AGAIN)
            self._unreachable[place] = self._unreachable[place] + 1 if _is_of_the_network(error) else 0
            if self._unreachable[place] == _UNREACHABLE_AT_MOST:
                self._given_up[place] = 0

    def _deliver(self, trip: _Trip) -> None:
        """Deliver, and say what was."""
        delivery, before = trip.delivery, trip.delivery.progress
        try:
            self._with_patience(trip)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                delivery.leave()
            what = f"interrupted, {_counts(before, delivery.progress)} until then"
            self._console.say(f"{trip.name}: {what}; sync again brings the rest")
            raise
        finally:
            delivery.release()
        self._console.say(_line(trip, _counts(before, delivery.progress)))

    def _with_patience(self, trip: _Trip) -> None:
        """Deliver as far as the run goes; after an error without any progress, a few times, with pauses."""
        from quantum_monitor.trackers.delivery import deliver_all
        from quantum_monitor.trackers.protocol import UnusableError
        from quantum_monitor.trackers.state import BusyError

        delivery, total = trip.delivery, trip.delivery.run.last_sequence
        begun, first = time.monotonic(), delivery.progress.delivered

        def show(progress: Progress) -> None:
            rate = (progress.delivered - first) / max(time.monotonic() - begun, 1e-3)
            self._console.draw(trip.name, progress.delivered, total, max(0.0, rate))
            self._ctrl_c.between()

        failures, furthest = 0, delivery.progress[:2]
        while True:
            try:
                with self._ctrl_c.piecewise():
                    show(delivery.progress)
                    deliver_all(delivery, show)
                    if not delivery.finished:
                        delivery.leave()
            except (BusyError, UnusableError):
                raise
            except Exception as error:
                if delivery.progress[:2] > furthest:
                    failures, furthest = 0, delivery.progress[:2]
                if failures == len(_PAUSES):
                    raise
                self._console.note(f"{trip.name}: {type(error).__name__}; tries again in {_PAUSES[failures]:g} s")
                time.sleep(_PAUSES[failures])
                failures += 1
            else:
                return

    def _fail(self, name: str, error: object, mend: str = "") -> None:
        self.failed = True
        cause = f"{type(error).__name__}: {text(error)}" if isinstance(error, BaseException) else text(error)
        self._console.complain(f"{name}: {cause[:_ERROR_LENGTH]}{'; ' if mend else ''}{mend}")


def _name(run: StoredRun) -> str:
    info = run.info
    experiment, name = (text(info.get(key, ""))[:LABEL_LENGTH] for key in ("experiment", "name"))
    return f"{experiment}/{name} ({run.directory.name[:_SHORT_ID]})"


def _why_open(run: StoredRun, elsewhere: Elsewhere | None, *, over: bool) -> str:
    if elsewhere is None:
        return "it is being written" if runfile.writer_state(run.info) == "alive" else ""
    if over:
        return ""
    host = text(elsewhere.host)[:LABEL_LENGTH]
    return f"it reads as running on {host}, heard of {elsewhere.silent:.0f} s ago; --over if it has ended"


def _line(trip: _Trip, what: str) -> str:
    progress = trip.delivery.progress
    state = ""
    if trip.open_because and not trip.delivery.finished:
        state = f", left open, for {trip.open_because}"
    elif progress.closed:
        state = f", closed as {progress.closed}"
    return f"{trip.name}: {what}{state}; {progress.url or trip.destination}"


def _counts(before: Progress, after: Progress) -> str:
    records = _counted(max(0, after.delivered - before.delivered), "record")
    artifacts = _counted(max(0, after.artifacts - before.artifacts), "artifact")
    refused = after.dropped - before.dropped
    return f"{records}, {artifacts} delivered" + (f", {refused} refused for good" if refused > 0 else "")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _is_of_the_network(error: BaseException) -> bool:
    """Whether an error, or one that it came from, is one of a connection: no file is named, as the disk's errors do."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, OSError) and cause.filename is None:
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False
