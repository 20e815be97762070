"""What the facade shows: the report and the static dashboard of a run, and the live page of a storage folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from quantum_monitor.run import Run
    from quantum_monitor.store.reader import StoredRun
    from quantum_monitor.views.live.process import Dashboard

_FLUSH_TIMEOUT = 5.0


def report(run: Run | None, *, figures: bool) -> str:
    """Write the report of a run as HTML and as Markdown into its directory; the path of the HTML."""
    from quantum_monitor.views.report import generate_report

    stored = _stored(run)
    generate_report(stored, stored.directory / "report.md", format="md", include_visualizations=figures)
    return str(generate_report(stored, stored.directory / "report.html", include_visualizations=figures))


def static_dashboard(run: Run | None, format: str) -> str:  # noqa: A002 - the public name
    """Write the dashboard of a run into its directory; the path of the file."""
    from quantum_monitor.views.static_dashboard import static_dashboard as write

    stored = _stored(run)
    return str(write(stored, stored.directory / f"dashboard.{format}", cast("Any", format)))  # checked there


class LivePage:
    """The live page of a monitor, if it has one: one process, whatever is asked how often."""

    def __init__(self) -> None:
        self._dashboard: Dashboard | None = None

    def serve(self, storage: Path, *, host: str, port: int) -> str:
        """Serve the page, or go on serving it where it is; its address."""
        from quantum_monitor.views.live import process

        if self._dashboard is None or not self._dashboard.is_running:
            storage.mkdir(parents=True, exist_ok=True)  # a page that is there before the first run
            self._dashboard = process.start(storage, host=host, port=port)
        return self._dashboard.url

    def stop(self) -> None:
        """End the process, if there is one."""
        dashboard, self._dashboard = self._dashboard, None
        if dashboard is not None:
            dashboard.stop()


def _stored(run: Run | None) -> StoredRun:
    if run is None:
        raise ValueError("no run to show: start_run() begins one")
    run.store.flush(_FLUSH_TIMEOUT)
    return run.store.reader()
