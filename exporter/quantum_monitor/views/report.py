"""The report of a run: one HTML page that says what was recorded, and what was not."""

from __future__ import annotations

from pathlib import Path

from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.runfile import replacing
from quantum_monitor.views.report_data import gather
from quantum_monitor.views.report_html import page
from quantum_monitor.views.report_sections import SECTIONS, heading, title


def report(run: StoredRun, status: str | None = None) -> str:
    """A run as one self-contained HTML page, which loads nothing and runs no script.

    Everything comes from the run's directory, so the run may have been killed, or still be running.

    Args:
        run: the run.
        status: what became of it, where somebody knows better than its directory, which copied to another machine
            does not tell a killed run from one that goes on: ``completed``, ``failed``, ``stopped``, ``killed`` or
            ``running``.

    Raises:
        FileNotFoundError: the run is gone.
        ValueError: its ``run.json`` is not JSON.
    """
    facts = gather(run, status)
    return page(title(facts), [heading(facts), *(section(facts) for section in SECTIONS)])


def write_report(run: StoredRun, path: str | Path, status: str | None = None) -> Path:
    """Write the report of a run to a file, which takes its place only when it is complete; arguments as of `report`.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: the run is gone, or the folder does not exist.
        ValueError: its ``run.json`` is not JSON.
        OSError: the file cannot be written.
    """
    target = Path(path)
    content = report(run, status)
    with replacing(target) as stream:
        stream.write(content)
    return target
