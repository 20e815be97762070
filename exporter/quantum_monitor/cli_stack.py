"""The command ``quantum-monitor stack``: Prometheus and Alertmanager from local programs, in the foreground."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from quantum_monitor.cli_common import Commands, FailureError, shown, whole

if TYPE_CHECKING:
    from quantum_monitor.stack.session import Options, Running

_DISCOVERY = "QUANTUM_MONITOR_DISCOVERY"


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "stack", help="run Prometheus and Alertmanager from local programs until Ctrl-C",
        description="Runs Prometheus, with the rules of this version, and Alertmanager on loopback until Ctrl-C. The "
        "programs are looked for on PATH, then in .servers of a checkout (`make servers`).",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("quantum_stack"), metavar="DIR",
                        help="folder of databases, logs and configuration; ./quantum_stack unless given")  # fmt: skip
    parser.add_argument("--discovery", type=Path, metavar="DIR",
                        help=f"folder that training processes announce themselves in; ${_DISCOVERY}, else targets in "
                        "the data folder, unless given")  # fmt: skip
    for server, port in (("prometheus", 9090), ("alertmanager", 9093)):
        parser.add_argument(f"--{server}-port", type=whole(0, 65_535), default=port, metavar="N",
                            help=f"{port} unless given; the next free one if it is taken, any for 0")  # fmt: skip
    parser.add_argument("--scrape-interval", type=whole(1, 300), metavar="S", help="seconds; 15 unless given")
    routing = parser.add_mutually_exclusive_group()
    routing.add_argument("--slack-webhook-file", type=Path, metavar="FILE",
                         help="file with the address of a Slack webhook; without it nobody is told, and alerts "
                         "show on the pages only")  # fmt: skip
    routing.add_argument("--alertmanager-config", type=Path, metavar="FILE",
                         help="an Alertmanager configuration of your own, taken as it is")  # fmt: skip
    parser.set_defaults(run_command=_stack)


def _stack(arguments: argparse.Namespace) -> int:
    from quantum_monitor.assets import AssetsError
    from quantum_monitor.stack import StackError
    from quantum_monitor.stack.session import Options, run

    data = arguments.data.absolute()
    announced = os.environ.get(_DISCOVERY, "").strip()
    options = Options(
        data=data,
        discovery=(arguments.discovery or (Path(announced) if announced else data / "targets")).absolute(),
        prometheus_port=arguments.prometheus_port,
        alertmanager_port=arguments.alertmanager_port,
        scrape_interval=arguments.scrape_interval,
        slack_webhook_file=_absolute(arguments.slack_webhook_file),
        alertmanager_config=_absolute(arguments.alertmanager_config),
    )
    try:
        run(options, when_up=lambda running: _tell(options, running))
    except (StackError, AssetsError) as error:
        raise FailureError(str(error)) from error
    print("Both have ended.")
    return 0


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _tell(options: Options, running: Running) -> None:
    told = ", ".join(running.told) or "nobody; Prometheus and Alertmanager show the alerts"
    told = told if options.slack_webhook_file is None else f"Slack, for {told}"
    print(f"Prometheus    {running.prometheus}")
    print(f"Alertmanager  {running.alertmanager}")
    print(f"Tells         {told}")
    print(f"Data          {shown(options.data)}")
    print("\nIn the terminal of the training:\n")
    print(f"  export {_DISCOVERY}={shown(shlex.quote(str(options.discovery)))}")
    print("  export QUANTUM_MONITOR_FINAL_SCRAPE_TIMEOUT=60\n")  # a run that fails is gone before the next scrape
    print("Ctrl-C ends both.", flush=True)
