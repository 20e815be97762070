"""What the facade shows: the report and the static dashboard of a run, and the live page of a storage folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quantum_monitor.store.layout import DESCRIPTION

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor
    from quantum_monitor.store.reader import StoredRun
    from quantum_monitor.views.live.process import Dashboard

_FLUSH_TIMEOUT = 5.0


def stored_run(monitor: QuantumMonitor) -> StoredRun:
    """The active or last run of a monitor, with all that was logged until now: what waits is written first.

    A disk that hangs, or a state that takes long to measure, is waited for some seconds at most.

    Raises:
        ValueError: no run yet.
        FileNotFoundError: its directory is gone.
    """
    monitor._settle()
    run = monitor._last_run
    if run is None:
        raise ValueError("there is no run yet; start_run() begins one")
    run.store.flush(_FLUSH_TIMEOUT)
    directory = run.store.directory
    if not (run.store.in_memory or (directory / DESCRIPTION).is_file()):
        raise FileNotFoundError(f"{directory} is gone: it was deleted or moved, and the run's records with it")
    return run.store.reader()


@np.errstate(all="ignore")  # a process may have turned NumPy's warnings into errors
def report(monitor: QuantumMonitor, *, figures: bool) -> str:
    """Write the report of a run as HTML and as Markdown into its directory; the path of the HTML."""
    from quantum_monitor.views.report import generate_report

    stored = stored_run(monitor)
    with _told("report", stored.directory):
        generate_report(stored, stored.directory / "report.md", format="md", include_visualizations=figures)
        return str(generate_report(stored, stored.directory / "report.html", include_visualizations=figures))


@np.errstate(all="ignore")
def static_dashboard(monitor: QuantumMonitor, format: str) -> str:  # noqa: A002 - the public name
    """Write the dashboard of a run into its directory; the path of the file."""
    from quantum_monitor.views.static_dashboard import static_dashboard as write

    stored = stored_run(monitor)
    with _told("dashboard", stored.directory):
        return str(write(stored, stored.directory / f"dashboard.{format}", cast("Any", format)))  # checked there


class LivePage:
    """The live page of a monitor, if it has one: one process, whatever is asked how often."""

    def __init__(self) -> None:
        self._dashboard: Dashboard | None = None

    def serve(self, storage: Path, *, host: str, port: int) -> str:
        """Serve the page, or go on serving it where it is; its address."""
        from quantum_monitor.views.live import process

        if self._dashboard is None or not self._dashboard.is_running:
            try:
                storage.mkdir(parents=True, exist_ok=True)  # a page that is there before the first run
            except OSError as error:
                told = f"the live page did not start: its folder {storage} cannot be made: {error.strerror}"
                raise OSError(error.errno, told) from error
            self._dashboard = process.start(storage, host=host, port=port)
        return self._dashboard.url

    def stop(self) -> None:
        """End the process, if there is one."""
        dashboard, self._dashboard = self._dashboard, None
        if dashboard is not None:
            dashboard.stop()


@contextmanager
def _told(what: str, directory: Path) -> Iterator[None]:
    """A disk that refuses a file, told by what was asked for, and with what works instead."""
    try:
        yield
    except OSError as error:
        instead = "export_metrics(path) writes the records of this run elsewhere"
        told = f"the {what} cannot be written into {directory}: {error.strerror or error}; {instead}"
        raise (OSError(error.errno, told) if error.errno else OSError(told)) from error
