"""Where the server programs are, and how to get one that is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from quantum_monitor.stack import StackError

PROMETHEUS, ALERTMANAGER = "Prometheus", "Alertmanager"

NAMES: Mapping[str, tuple[str, ...]] = {
    PROMETHEUS: ("prometheus",),
    ALERTMANAGER: ("alertmanager", "prometheus-alertmanager"),
}
"""Each server, and what its program is called: the second name of Alertmanager is Debian's."""

_CHECKOUT = Path(__file__).resolve().parents[3]


def find_all(servers: Iterable[str], *, checkout: Path | None = None) -> dict[str, Path]:
    """The program of each server: on PATH, else where ``make servers`` has unpacked it.

    Args:
        servers: keys of ``NAMES``.
        checkout: the folder that holds ``.servers``; the one that this package stands in, unless given.

    Raises:
        StackError: a program is missing; names every such one, and how to get it.
    """
    unpacked = (checkout or _CHECKOUT) / ".servers/bin"
    found = {server: _find(NAMES[server], unpacked) for server in servers}
    missing = [server for server, program in found.items() if program is None]
    if missing:
        raise StackError(_how_to_get(missing))
    return {server: program for server, program in found.items() if program is not None}


def _find(names: Iterable[str], unpacked: Path) -> Path | None:
    on_path = [Path(path) for path in map(shutil.which, names) if path]
    in_checkout = [unpacked / name for name in names if os.access(unpacked / name, os.X_OK)]
    return next(iter(on_path + in_checkout), None)


def _how_to_get(missing: list[str]) -> str:
    names = ", ".join(" or ".join(NAMES[server]) for server in missing)
    return "\n".join([
        f"no {' and no '.join(missing)} here: PATH has no program {names}",
        "in a checkout of quantum-monitor, `make servers` unpacks both into .servers, installing and starting nothing",
        "Debian and Ubuntu have them as the packages prometheus and prometheus-alertmanager, which also start services",
        "any other system: unpack the downloads of https://prometheus.io/download/ and put the programs on PATH",
    ])  # fmt: skip
