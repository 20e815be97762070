"""Writes ``dashboards/json`` from ``dashboards/*.dashboard.py``: ``python -m quantum_monitor.grafana.generate``."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from grafanalib._gen import DASHBOARD_SUFFIX, loader, write_dashboard


def rendered(folder: Path) -> dict[str, str]:
    """The JSON of every dashboard in a folder, by the path of its file below the folder.

    Args:
        folder: holds files ``NAME.dashboard.py`` that have a variable ``dashboard``.

    Raises:
        FileNotFoundError: there is none.
    """
    definitions = sorted(folder.glob(f"*{DASHBOARD_SUFFIX}"))
    if not definitions:
        raise FileNotFoundError(f"no *{DASHBOARD_SUFFIX} in {folder}; name the folder that has the definitions")
    return {f"json/{path.name.removesuffix(DASHBOARD_SUFFIX)}.json": _rendered(path) for path in definitions}


def stale(folder: Path) -> list[str]:
    """Files that differ from what the definitions give, are missing, or have no definition any more."""
    wanted = rendered(folder)
    left_over = {f"json/{path.name}" for path in (folder / "json").glob("*.json")} - wanted.keys()
    return sorted(left_over | {name for name, text in wanted.items() if _present(folder / name) != text})


def main(arguments: list[str] | None = None) -> int:
    """Write what changed, or compare only; the exit status is 1 where ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m quantum_monitor.grafana.generate", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("dashboards"), help="default: dashboards")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args(arguments)
    try:
        different = stale(options.folder)
    except FileNotFoundError as error:
        parser.error(str(error))
    if options.check:
        if different:
            sys.stderr.write(
                f"out of step with the definitions: {', '.join(different)}; `make dashboards` mends that\n"
            )
        return 1 if different else 0
    _write(options.folder, different)
    return 0


def _rendered(path: Path) -> str:
    text = io.StringIO()
    write_dashboard(loader(str(path)), text)
    return text.getvalue()


def _present(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write(folder: Path, names: list[str]) -> None:
    wanted = rendered(folder)
    for name in names:
        path = folder / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        sys.stdout.write(f"{'wrote' if name in wanted else 'removed'} {path}\n")


if __name__ == "__main__":
    sys.exit(main())
