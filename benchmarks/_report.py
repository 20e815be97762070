"""What every benchmark shares: fair interleaved timing, a table, and a report with machine and versions."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "scipy", "prometheus_client")


def measure(
    functions: Mapping[str, Callable[[], object]], *, repeats: int = 15, least_seconds: float = 0.02, pause: float = 0.0
) -> dict[str, float]:
    """Return the median seconds of one call of each callable, by its name.

    They take turns within each repeat, in an order reversed from repeat to repeat, so that a machine that slows down
    for a while slows all of them down. A short callable is repeated until a sample lasts ``least_seconds``. A ``pause``
    before each sample lets the threads that the one before left spinning (BLAS) go to sleep.
    """
    loops = {name: _loops(function, least_seconds) for name, function in functions.items()}
    samples: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for _ in range(repeats):
        for name in names:
            time.sleep(pause)
            samples[name].append(_sample(functions[name], loops[name]))
        names.reverse()
    return {name: statistics.median(times) for name, times in samples.items()}


def table(rows: Sequence[Sequence[object]]) -> str:
    """Lay rows out as a Markdown table whose columns line up; the first row is the heading."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Write a time in the unit that keeps it readable: ``12.3 us``, ``4.56 ms``, ``7.89 s``."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def write(name: str, title: str, text: str, *, packages: Sequence[str] = ()) -> Path:
    """Print a report and write it to ``results/NAME.md``, with the machine and the versions of the packages."""
    report = f"# {title}\n\n{text.strip()}\n\n{_surroundings(packages)}\n"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text(report, encoding="utf-8")
    sys.stdout.write(report)
    return path


def _sample(function: Callable[[], object], loops: int) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        function()
    return (time.perf_counter() - start) / loops


def _loops(function: Callable[[], object], least_seconds: float) -> int:
    function()  # the first call pays for imports and caches
    return max(1, int(least_seconds / max(_sample(function, 1), 1e-9)))


def _surroundings(packages: Sequence[str]) -> str:
    versions = ", ".join(f"{name} {_version(name)}" for name in dict.fromkeys((*_PACKAGES, *packages)))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"Made on {datetime.now(timezone.utc):%Y-%m-%d}: {_processor()}, {cores} cores, {platform.system()}, "
        f"Python {platform.python_version()}; {versions}. Medians of interleaved repeats."
    )


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
