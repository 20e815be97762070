"""The command ``quantum-monitor watch-job``: jobs that wait elsewhere, followed after their script has ended."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from quantum_monitor.cli_common import FAILED, INTERRUPTED, Commands, complain, shown, whole

_INTERVAL = 30
_LOOK_EVERY = 0.2


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "watch-job", help="follow jobs of IBM Runtime and Amazon Braket by id or ARN until they end",
        description="Follows jobs that were sent by a script that may have ended, with metrics to scrape, and logs "
        "them to a run of their own when they end. Signs in as the provider's package does by itself. Ctrl-C ends the "
        "watching, not the job. The status is 0 if each job completed, 1 if not, 130 after Ctrl-C.",
    )  # fmt: skip
    parser.add_argument("jobs", nargs="+", metavar="JOB", help="a job's id (IBM Runtime), or a task's ARN (Braket)")
    parser.add_argument("--experiment", metavar="NAME", help="the experiment that the run belongs to")
    parser.add_argument("--name", metavar="NAME", help="name of the run; the first job's id unless given")
    parser.add_argument("--interval", type=whole(1, 86_400), default=_INTERVAL, metavar="SECONDS",
                        help=f"between two looks at a job, at most; {_INTERVAL} unless given")  # fmt: skip
    parser.add_argument("--storage", type=Path, metavar="DIR", help="folder that the run is kept in")
    parser.add_argument("--port", type=whole(0, 65_535), metavar="N",
                        help="port of the metrics; 9888 unless given, the next free one if taken; 0: any")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with options of the monitor")
    parser.set_defaults(run_command=_watch_job)


def _watch_job(arguments: argparse.Namespace) -> int:
    from quantum_monitor.backends.watching import Watch
    from quantum_monitor.monitor import QuantumMonitor
    from quantum_monitor.stack.signals import EndingSignals

    given = {
        "experiment_name": arguments.experiment,
        "storage_path": arguments.storage,
        "metrics_port": arguments.port,
    }
    jobs = list(dict.fromkeys(arguments.jobs))
    with EndingSignals() as signals:
        monitor = QuantumMonitor(
            config=arguments.config, **{name: value for name, value in given.items() if value is not None}
        )
        try:
            watch = Watch(
                monitor,
                jobs,
                name=arguments.name or _name(jobs),
                interval=arguments.interval,
                say=lambda line: print(shown(line), flush=True),
                complain=complain,
                begun=lambda: _say_where(monitor.metrics_url),
            )
            while not watch.over and not signals.received:
                watch.look(_LOOK_EVERY)
            watch.end()
        finally:
            monitor.close()
    if watch.over:
        return 0 if watch.completed else FAILED
    print("Watching has ended; the jobs go on. To watch them further:")
    print(shown(_command(watch.open, arguments)), flush=True)
    return INTERRUPTED


def _say_where(metrics: str | None) -> None:
    if metrics is not None:
        print(f"Metrics on {shown(metrics)} until the end.", flush=True)


def _command(jobs: list[str], arguments: argparse.Namespace) -> str:
    """The command that goes on."""
    options = ("experiment", "name", "storage", "port", "config")
    given = [word for option in options if (value := getattr(arguments, option)) is not None
             for word in (f"--{option}", str(value))]  # fmt: skip
    if arguments.interval != _INTERVAL:
        given += ["--interval", str(arguments.interval)]
    return shlex.join(["quantum-monitor", "watch-job", *jobs, *given])


def _name(jobs: list[str]) -> str:
    """The run's name: the job's id, without what all ARNs have in common."""
    first = jobs[0].rsplit("/", 1)[-1]
    return first if len(jobs) == 1 else f"{first} and {len(jobs) - 1} more"
