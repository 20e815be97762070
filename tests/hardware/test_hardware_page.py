"""docs/hardware.md: its code runs as it stands, and its words are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from quantum_monitor.hardware.profile import Stopped

PAGE = Path(__file__).parents[2] / "docs/hardware.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_block_of_python_runs_as_it_stands(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(BLOCKS)],
        env={**os.environ, "QUANTUM_MONITOR_METRICS_PORT": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("8 Interval(value=0.0, low=0.0, high=0.00")
    assert lines[1] == "Quantum volume: 8  (measured) width 3 passed with two sigma"
    assert (tmp_path / "heavy-outputs.html").is_file()


def test_the_reasons_to_stop_are_those_of_the_code() -> None:
    assert re.findall(r"^\| `([a-z ]+)` \|", TEXT, re.MULTILINE) == list(get_args(Stopped))
