"""The report of a run: one HTML page that says what was recorded, and what was not."""

from __future__ import annotations

from pathlib import Path

from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.runfile import replacing
from quantum_monitor.views.report_data import gather
from quantum_monitor.views.report_html import page
from quantum_monitor.views.report_sections import SECTIONS, heading, title


def report(run: StoredRun) -> str:
    """A run as one self-contained HTML page, which loads nothing and runs no script.

    Everything comes from the run's directory, so the run may have been killed, or still be running.

    Raises:
        FileNotFoundError: the run is gone.
        ValueError: its ``run.json`` is not JSON.
    """
    facts = gather(run)
    return page(title(facts), [heading(facts), *(section(facts) for section in SECTIONS)])


def write_report(run: StoredRun, path: str | Path) -> Path:
    """Write the report of a run to a file, which takes its place only when it is complete.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: the run is gone, or the folder does not exist.
        ValueError: its ``run.json`` is not JSON.
        OSError: the file cannot be written.
    """
    target = Path(path)
    content = report(run)
    with replacing(target) as stream:
        stream.write(content)
    return target
