"""The command ``quantum-monitor run``: a script as it is, with metrics."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantum_monitor.cli_common import PROGRAM, Commands, FailureError, complain, shown, whole

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor
    from quantum_monitor.running import Script

_USAGE = f"{PROGRAM} run [options] (SCRIPT.py | FOLDER | ARCHIVE.zip | - | -m MODULE) [arguments]"
_SWITCHES = ("-h", "--help", "--no-instrument")
"""The options that no value follows."""


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    # What belongs to the script is not argparse's to read, so that it gets all words as they are: none of them begins
    # with a NUL, which no argument can hold.
    words = commands.add_parser(
        "run", help="run a script as it is, with metrics: its circuits, shots, times, gradients and cost",
        add_help=False, prefix_chars="\0",
    )  # fmt: skip
    words.add_argument("words", nargs=argparse.REMAINDER)
    options = type(words)(
        f"{PROGRAM} run", usage=_USAGE, allow_abbrev=False,
        description="Runs a script as python does, with its own arguments, and shows what its quantum frameworks "
        "execute to Prometheus. Exit status and signals are the script's. Further settings stand in the file or in the "
        "environment (QUANTUM_MONITOR_...).",
    )  # fmt: skip
    options.add_argument("--experiment", metavar="NAME", help="what the run belongs to; the script's name unless given")
    options.add_argument("--name", metavar="RUN", help="name of the run; a short id unless given")
    options.add_argument("--config", type=Path, metavar="FILE", help="a YAML file with settings")
    options.add_argument("--port", type=whole(0, 65_535), metavar="N",
                         help="port of the metrics; 9888 unless given, 0 for any free one")  # fmt: skip
    options.add_argument("--storage", type=Path, metavar="DIR", help="folder that the runs are kept in")
    options.add_argument("--final-scrape-timeout", type=float, metavar="S",
                         help="seconds to wait at the end for the last scrape; 0 unless given")  # fmt: skip
    which = options.add_mutually_exclusive_group()
    which.add_argument("--frameworks", type=_names, metavar="A,B",
                       help="the frameworks to look at: pennylane, qiskit, cirq, braket; all unless given")  # fmt: skip
    which.add_argument("--no-instrument", action="store_true",
                       help="look at none: only what the script logs itself, process and machine")  # fmt: skip
    words.set_defaults(run_command=lambda arguments: _run(arguments, options))


def _run(arguments: argparse.Namespace, options: argparse.ArgumentParser) -> int:
    """Prepare all that can go wrong before the script; ``main`` runs what is left in ``arguments.script``."""
    from quantum_monitor import running

    ours, target = _split(arguments.words)
    given = options.parse_args(ours)
    if not target:
        options.error("give a script to run")
    try:
        script = running.module(target[1], target[2:]) if target[0] == "-m" else running.file(target[0], target[1:])
    except running.ScriptError as error:
        complain(error)
        return error.status
    try:
        _start(given, script)
    except ValueError as error:
        raise FailureError(str(error)) from error
    arguments.script = script
    return 0


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words up to the script, which are ours, and the rest: ``["-m", MODULE, ...]`` or ``[PATH, ...]``."""
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            return list(words[:at]), list(words[at + 1 :])
        if word == "-m":
            return list(words[:at]), list(words[at:]) if words[at + 1 :] else []
        if word.startswith("-m") and len(word) > 2:
            return list(words[:at]), ["-m", word[2:], *words[at + 1 :]]
        if word == "-" or not word.startswith("-"):
            return list(words[:at]), list(words[at:])
        at += 1 if "=" in word or word in _SWITCHES else 2
    return list(words), []


def _start(given: argparse.Namespace, script: Script) -> None:
    """Start exporter, instrumentation and run.

    Raises:
        ValueError: a setting that cannot be used.
    """
    from quantum_monitor.config import Settings, load_settings
    from quantum_monitor.monitor import QuantumMonitor

    settings: dict[str, Any] = {
        "experiment_name": given.experiment,
        "metrics_port": given.port,
        "storage_path": given.storage,
        "final_scrape_timeout": given.final_scrape_timeout,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if load_settings(settings, config=given.config).experiment_name == Settings.experiment_name:
        settings["experiment_name"] = script.name
    monitor = QuantumMonitor(config=given.config, **settings)
    if not given.no_instrument:
        from quantum_monitor.frameworks import instrument

        instrument(given.frameworks)
    monitor.start_run(given.name)
    run = monitor.active_run
    if run is not None:
        run.store.describe(command="run", **({"module": script.module} if script.module else {}))
    _say_where(monitor)


def _say_where(monitor: QuantumMonitor) -> None:
    url = monitor.metrics_url
    told = f"{PROGRAM}: metrics on {url}" if url else f"{PROGRAM}: no metrics are served"
    run = monitor.active_run
    kept = "memory only" if run is not None and run.store.in_memory else shown(monitor.run_path)
    told += f"; the run is kept in {kept}{_and_delivered(monitor)}"
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # nobody has to listen
            print(told, file=sys.stderr)


def _and_delivered(monitor: QuantumMonitor) -> str:
    """Where else the run goes: MLflow takes it unasked, which may be news."""
    from quantum_monitor import tracking

    shipment = monitor.active_run.shipment if monitor.active_run is not None else None
    delivered = {} if shipment is None else {name: dict(options) for name, options in shipment.trackers.items()}
    trackers = tracking.described(delivered)
    places = [shown(options.get("tracking_uri") or "") for options in trackers.values()]
    named = [f"{name} ({place})" if place else name for name, place in zip(trackers, places, strict=True)]
    return f" and delivered to {', '.join(named)}" if named else ""


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
