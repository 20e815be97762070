"""docs/costs.md: its code runs, its table is one, its command prints what it shows, its days are the tables'."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from quantum_monitor import cli_estimate
from quantum_monitor.costs import PriceTables
from quantum_monitor.process import OPEN

PAGE = Path(__file__).parents[2] / "docs/costs.md"
TEXT = PAGE.read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_its_code_runs_as_it_stands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("QUANTUM_MONITOR_METRICS_PORT", "null")
    before = list(OPEN)
    names: dict[str, object] = {}
    try:
        for block in _blocks("python"):
            exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
    finally:
        for monitor in [made for made in OPEN if made not in before]:
            monitor.close()
    said = capsys.readouterr().out
    assert "1575.00 USD, by https://aws.amazon.com/braket/pricing of 2026-09-04" in said
    assert "stopped at step 2: 3.50 of 5.00 USD" in said


def test_its_table_is_one(tmp_path: Path) -> None:
    (block,) = _blocks("yaml")
    file = tmp_path / "own.yaml"
    file.write_text(block, encoding="utf-8")
    own = PriceTables(file)
    assert own.price_of("lab-3", {"shots": 1000.0}) == (3.0, "EUR")
    assert own.price_of("ibm_fez", {"billed_time": 60.0}) == (60.0, "USD")


def test_its_command_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = _blocks("console")
    line, shown = block.split("\n", 1)
    Path("ansatz.qasm").write_text("OPENQASM 3.0; qubit[1] q;", encoding="utf-8")
    parser = argparse.ArgumentParser()
    cli_estimate.add_command(parser.add_subparsers())
    arguments = parser.parse_args(shlex.split(line.removeprefix("$ quantum-monitor ")))
    assert arguments.run_command(arguments) == 1  # the budget affords fewer steps
    assert capsys.readouterr().out == shown


def test_its_days_are_those_of_the_tables() -> None:
    days = set(re.findall(r"\| (\d{4}-\d{2}-\d{2}) \|", TEXT))
    assert days == {str(price.on) for price in PriceTables().prices}


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (PAGE.parent / target).exists()


def test_its_own_anchors_exist() -> None:
    headings = {re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-") for line in TEXT.splitlines()
                if line.startswith("## ")}  # fmt: skip
    assert set(re.findall(r"\(#([a-z-]+)\)", TEXT)) == headings
