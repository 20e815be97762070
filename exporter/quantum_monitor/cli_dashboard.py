"""The command ``quantum-monitor dashboard``: the live page of a folder, in the foreground."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

from quantum_monitor.cli_common import Commands, FailureError, complain, shown, whole

_PORT = 8050
_LOOK_EVERY = 0.2


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "dashboard", help="show the runs of a folder on a live page until Ctrl-C",
        description="Serves a page on this machine that shows the runs of a folder, those that are being written "
        "included, until Ctrl-C. It only reads.",
    )  # fmt: skip
    parser.add_argument("dir", type=Path, metavar="DIR", help="a storage folder, an experiment's or a run's directory")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                        help="address to listen on; 127.0.0.1, for this machine only, unless given")  # fmt: skip
    parser.add_argument("--port", type=whole(0, 65_535), default=_PORT, metavar="N",
                        help=f"{_PORT} unless given; the next free one if it is taken, any for 0")  # fmt: skip
    parser.add_argument("--figures", action="append", default=[], metavar="MODULE",
                        help="a module, or a .py file, that registers figures of your own; repeatable")  # fmt: skip
    parser.set_defaults(run_command=_dashboard)


def _dashboard(arguments: argparse.Namespace) -> int:
    from quantum_monitor.extras import MissingExtraError
    from quantum_monitor.stack.signals import EndingSignals
    from quantum_monitor.views.live.figures import load
    from quantum_monitor.views.live.server import LiveServer

    try:
        server = LiveServer(arguments.dir, host=arguments.host, port=arguments.port)
    except (MissingExtraError, ValueError) as error:
        raise FailureError(str(error)) from error
    for sentence in load(arguments.figures):
        complain(sentence)
    if arguments.port and server.port != arguments.port:
        complain(f"port {arguments.port} is taken: the page is served on port {server.port}")
    if not server.is_local:
        complain("whoever reaches this address sees the runs, for the page asks for no password")
    with EndingSignals() as signals:
        threading.Thread(target=server.serve, name="quantum-monitor-live", daemon=True).start()
        print(f"{shown(arguments.dir)} is shown on {server.url} until Ctrl-C.", flush=True)
        while not signals.received:
            time.sleep(_LOOK_EVERY)
    server.close()
    print("The page is closed.")
    return 0
