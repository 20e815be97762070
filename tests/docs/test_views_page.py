"""docs/views.md: its code runs as it stands, its links lead somewhere, its tables and options are those of the code."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import plotly

import quantum_monitor
from quantum_monitor import QuantumVisualization
from quantum_monitor.views import (
    circuits,
    figure_amplitudes,
    figure_basis,
    figure_bloch,
    figure_density,
    figure_entanglement,
    state_history,
)

PAGE = Path(__file__).parents[2] / "docs/views.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)

BEFORE = """
from quantum_monitor import QuantumMonitor
monitor = QuantumMonitor("h2", metrics_port=None, enable_mlflow=False)
monitor.start_run("page")
for step in range(3):
    monitor.log_training_step(1.0 / (step + 1), [0.5], [0.1], step)
    monitor.log_quantum_state([0.6, 0.8], step, [1.0, 0.0])
"""
AFTER = """
import os, urllib.request
from pathlib import Path
assert urllib.request.urlopen(url, timeout=30).status == 200
again = Path(monitor.generate_report()).read_text()
assert "loss by fidelity" in again
for written in sorted(Path(monitor.run_path).glob("*.*")) + sorted(Path().glob("*.html")):
    print(written.name, os.path.getsize(written))
monitor.close()
"""


def chapter(title: str) -> str:
    return PROSE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without their heads."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines if not set(line) <= set("-| ")][1:]


def test_every_block_of_python_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text("\n".join([BEFORE, *BLOCKS, AFTER]))
    result = subprocess.run(
        [sys.executable, "page.py"], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    sizes = {name: int(size) for name, size in (line.rsplit(" ", 1) for line in result.stdout.splitlines())}
    (run,) = (tmp_path / "quantum_monitoring" / "h2").iterdir()
    told = {"report.html", "report.md", "dashboard.html", f"{run.name}.html", "bell.html", "pairs.html", "course.html"}
    assert told | {"circuit.html"} <= set(sizes)
    assert all(size > 4e6 for name, size in sizes.items() if name.endswith(".html"))


def test_every_link_leads_somewhere() -> None:
    titles = {
        page: {
            re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        }
        for page in PAGE.parent.glob("*.md")
    }
    links = re.findall(r"\]\(([^)\s]+)\)", PROSE)
    assert len(links) >= 8
    for link in links:
        name, _, anchor = link.partition("#")
        page = PAGE.parent / name if name else PAGE
        assert page.is_file(), link
        assert not anchor or anchor in titles[page], link


def test_the_table_of_figures_is_that_of_the_class() -> None:
    methods = dict(inspect.getmembers(QuantumVisualization, inspect.isfunction))
    shown = dict(
        found for cells in rows(chapter("Figures")) for found in re.findall(r"`(plot_\w+)(?:\((.*?)\))?`", cells[0])
    )
    assert set(shown) == set(methods)
    for name, written in shown.items():
        parameters = inspect.signature(methods[name]).parameters
        assert {"save_path", "theme"} <= set(parameters)
        for argument in filter(None, written.split(", ")):
            parameter, _, default = argument.partition("=")
            assert parameter in parameters
            assert not default or str(parameters[parameter].default) == default.strip('"')


def test_the_limits_in_the_table_are_those_of_the_code() -> None:
    limits = {re.findall(r"`(plot_\w+)", cells[0])[0]: cells[-1] for cells in rows(chapter("Figures"))}
    expected = {
        "plot_bloch_sphere": (figure_bloch.SPHERES_APART, figure_basis.SHOWN_QUBITS),
        "plot_amplitudes": (
            figure_amplitudes.BAR_QUBITS,
            figure_basis.SHOWN_QUBITS,
            figure_amplitudes.BARS_OF_MANY,
        ),
        "plot_density_matrix": (figure_density.CELL_QUBITS, figure_density.CITY_QUBITS),
        "plot_entanglement": (
            figure_entanglement.VECTOR_QUBITS,
            figure_entanglement.MATRIX_QUBITS,
            figure_entanglement._CHOSEN,
        ),
        "plot_state_evolution": (state_history.SPANS_AT_MOST,),
        "plot_circuit": (circuits.DRAWN_GATES, circuits.DRAWN_QUBITS),
    }
    for method, numbers in expected.items():
        assert tuple(map(int, re.findall(r"\d+", limits[method]))) == numbers, method
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    assert f"plotly.js ({script.stat().st_size / 1e6:.1f} MB)" in TEXT


def test_the_commands_have_the_options_that_it_names() -> None:
    named = re.findall(r"quantum-monitor (report|dashboard)\b([^`\n]*)", TEXT)
    assert {command for command, _ in named} == {"report", "dashboard"}
    options = {command: set(re.findall(r"--[\w-]+", " ".join(rest for c, rest in named if c == command)))
               for command, _ in named}  # fmt: skip
    options["dashboard"] |= set(re.findall(r"--[\w-]+", chapter("The live page")))
    assert options["report"] == {"--run", "--format", "--output", "--without-figures"}
    assert options["dashboard"] == {"--host", "--figures"}
    told = {}
    for command, known in options.items():
        run = [sys.executable, "-m", "quantum_monitor.cli", command, "--help"]
        told[command] = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout
        assert not known - set(re.findall(r"--[\w-]+", told[command]))
    assert "8050 unless given" in " ".join(told["dashboard"].split())
    assert "127.0.0.1:8050" in TEXT


def test_the_extras_and_public_names_exist() -> None:
    project = (PAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for extra in re.findall(r"quantum-monitor\[(\w+)\]", "".join(SHELL)):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    for name in re.findall(r"^from quantum_monitor import (\w+)", "\n".join(BLOCKS), re.MULTILINE):
        assert name in quantum_monitor.__all__
    assert "quantum_monitor.figures" in (Path(quantum_monitor.__file__).parent / "plugins.py").read_text()
    assert PAGE.name in (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
