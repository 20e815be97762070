"""The command ``quantum-monitor assets``: dashboards, rules and configuration as files."""

from __future__ import annotations

import argparse
from pathlib import Path

from quantum_monitor.cli_common import Commands, FailureError, shown


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "assets", help="write dashboards, rules, Alertmanager and compose files into a folder",
        description="Writes the Grafana dashboards and their provisioning, the Prometheus configuration and rules, the "
        "Alertmanager configuration and templates, the compose file and the runbooks that this version comes with. A "
        "file there that says something else is kept, and then nothing is written, unless --force is given.",
    )  # fmt: skip
    parser.add_argument("dir", type=Path, metavar="DIR", help="the folder; made if it does not exist")
    parser.add_argument("--grafana-url", metavar="URL",
                        help="where people open Grafana; http://localhost:3000 unless given")  # fmt: skip
    parser.add_argument("--runbook-url", metavar="URL",
                        help="the folder of the runbook pages; that of the project unless given")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace files that say something else")
    parser.set_defaults(run_command=_assets)


def _assets(arguments: argparse.Namespace) -> int:
    from quantum_monitor import assets

    given = {"grafana_url": arguments.grafana_url, "runbook_url": arguments.runbook_url}
    try:
        contents = assets.texts(**{name: url for name, url in given.items() if url is not None})
        outcome = assets.write(arguments.dir, contents, force=arguments.force)
    except assets.AssetsError as error:
        raise FailureError(str(error)) from error
    for path in outcome.written:
        print(shown(path))
    print(f"{len(outcome.written)} files written, {len(outcome.unchanged)} were there already.")
    return 0
