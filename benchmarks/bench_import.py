"""What `import quantum_monitor` costs, against importing its four dependencies alone."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from benchmarks import _report
from benchmarks._logging import median_ratio

_OTHERS = "numpy, prometheus_client, psutil, yaml"
_REPEATS = 25
_TIMED = """
import time
wall, processor = time.perf_counter(), time.process_time()
import {}
print(time.perf_counter() - wall, time.process_time() - processor)
"""
_SHOWN = 12


def main() -> None:
    """Import in fresh interpreters by turns, and show which of our modules take longest."""
    with tempfile.TemporaryDirectory() as compiled:
        # All of it comes compiled, as an installed package does, whether or not this machine may write it elsewhere.
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        text = _measured()
    _report.write("import", "Import", text, packages=("psutil", "pyyaml"))


def _measured() -> str:
    imports = ("quantum_monitor", _OTHERS)
    times: dict[str, list[list[float]]] = {name: [] for name in imports}
    for repeat in range(_REPEATS + 1):
        for name in imports if repeat % 2 else reversed(imports):
            took = [float(seconds) for seconds in _python("-c", _TIMED.format(name)).stdout.split()]
            if repeat:  # the first turn compiles modules and warms the disk's cache
                times[name].append(took)
    rows = [["import", "median", "fastest", "processor time, median", "fastest"]]
    for name in imports:
        wall, processor = zip(*times[name], strict=True)
        rows.append(
            [name, *(_report.duration(f(each)) for each in (wall, processor) for f in (statistics.median, min))]
        )
    ratios = []
    for column in (0, 1):
        ours, others = ([took[column] for took in times[name]] for name in imports)
        ratio, spread = median_ratio(ours, others)
        ratios.append(f"{ratio:.2f} (middle half {spread}; of the fastest {min(ours) / min(others):.2f})")
    return (
        f"{_REPEATS} fresh interpreters each, by turns; the start of the interpreter is not counted.\n\n"
        f"{_report.table(rows)}\n\nRatio {ratios[0]}; of the processor time, which other work on the machine disturbs "
        f"less, {ratios[1]}.\n\nWhat comes on top of the four, by `-X importtime` (which slows imports down), in own "
        f"time:\n\n{_report.table(_on_top())}"
    )


def _on_top() -> list[Sequence[str]]:
    """The modules that come on top of the dependencies, the dearest first."""
    lines = _python("-X", "importtime", "-c", f"import {_OTHERS}\nimport quantum_monitor").stderr.splitlines()
    columns = [line.removeprefix("import time:").split("|") for line in lines]
    names = [column[2].strip() for column in columns if len(column) == 3]
    last = max(names.index(name.strip()) for name in _OTHERS.split(","))
    own = [(int(column[0]), column[2].strip()) for column in columns[last + 1 :] if len(column) == 3]
    rows: list[Sequence[str]] = [["module", "own time"]]
    rows += [[name, _report.duration(micros / 1e6)] for micros, name in sorted(own, reverse=True)[:_SHOWN]]
    rows.append([f"all {len(own)}", _report.duration(sum(micros for micros, _ in own) / 1e6)])
    return rows


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)
