"""docs/tracking.md: its code runs, its links lead somewhere, its lists are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from quantum_monitor.config import Settings
from quantum_monitor.trackers.tags import run_tags

PAGE = Path(__file__).parents[2] / "docs/tracking.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)

BEFORE = """
import numpy as np
from pathlib import Path
circuit = {"gates": [{"type": "h", "qubit": 0}, {"type": "cx", "qubits": [0, 1]}]}
loss, gradient, parameters = -1.137, np.ones(2), np.array([0.1, 0.2])
Path("figure.png").write_bytes(b"a picture")
"""
AFTER = """
with monitor.start_run("last"):
    monitor.log_params({"seed": 7})
    monitor.log_training_step(0.5, None, None, 3)
    monitor.log_circuit(circuit, "bell")
(folder,) = Path("notebook").iterdir()
print("NOTEBOOK", *sorted(path.name for path in folder.iterdir()), (folder / "status.json").read_text())
"""


def chapter(title: str) -> str:
    return PROSE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_block_of_python_runs_as_it_stands(tmp_path: Path) -> None:
    # The tracker of the last chapter is an installed package, as its block of TOML says.
    (package,) = [block for block in BLOCKS if "class Notebook" in block]
    (tmp_path / "lab_notebook.py").write_text(package)
    (entry,) = re.findall(r"^notebook = .*$", TEXT, re.MULTILINE)
    described = tmp_path / "notebook-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: notebook\nVersion: 1.0\n")
    group = re.search(r'entry-points\."(.+)"', TEXT)
    assert group is not None
    (described / "entry_points.txt").write_text(f"[{group[1]}]\n{entry.replace(chr(34), '')}\n")

    script = "\n".join([BEFORE, *BLOCKS, AFTER]).replace("/data/notebook", str(tmp_path / "notebook"))
    settings = {
        "QUANTUM_MONITOR_METRICS_PORT": "0",
        "QUANTUM_MONITOR_DELIVERY_TIMEOUT": "30",
        "PYTHONPATH": str(tmp_path),
        "WANDB_MODE": "offline",
    }
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "[0.1 0.2] None -1.137" in lines
    assert lines[-1].startswith("NOTEBOOK 000000000001.jsonl artifacts.txt facts.jsonl status.json")
    assert '"status": "completed"' in lines[-1]


def test_the_table_of_contents_and_every_link_lead_somewhere() -> None:
    titles = re.findall(r"^## (.+)$", PROSE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(([^)\s]+)\)", PROSE)
    assert {link[1:] for link in links if link.startswith("#")} == anchors - {"settings"}
    for link in links:
        assert link.startswith("#") or (PAGE.parent / link.partition("#")[0]).is_file()


def test_the_settings_are_those_of_the_code() -> None:
    shown = {
        name for line in re.findall(r"^\| (`.*?) \|", chapter("Settings"), re.MULTILINE) for name in line.split(", ")
    }
    known = {field.name: field.default for field in fields(Settings)}
    assert {name.strip("`") for name in shown} == {
        name for name in known if name.startswith(("enable_", "mlflow_", "wandb_", "delivery_", "track"))
    }
    for name in ("delivery_timeout", "delivery_grace"):
        assert f"| `{name}` | {known[name]} |" in TEXT


def test_our_tags_are_those_of_the_code() -> None:
    everything = {
        "run_id": "1",
        "name": "a",
        "experiment": "h2",
        "framework": "qiskit",
        "version": "2",
        "params": dict.fromkeys(("molecule", "ansatz", "optimizer", "backend", "qubits", "seed"), "x"),
        "environment": {
            **dict.fromkeys(("python", "platform", "host", "script", "quantum_monitor"), "x"),
            "git": {"commit": "x", "branch": "x"},
            "packages": {"numpy": "2"},
        },
    }
    (listed,) = re.findall(r"`quantum\.` \+ (.*?)\. `molecule`", chapter("What goes where"), re.DOTALL)
    assert {f"quantum.{name}" for name in re.findall(r"`(\w+)`", listed)} == set(run_tags(everything))
