"""A budget rehearsed on a simulator: prices of one's own hold on this machine, those that come along do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cirq
import pytest

from quantum_monitor import BudgetExceeded, QuantumMonitor, instrument, uninstrument

NewMonitor = Callable[..., QuantumMonitor]

TABLE = """
provider: Our lab
date: 2026-01-31
currency: EUR
prices:
  rehearsal:
    backends: ["cirq.Simulator"]
    model: task_and_shot
    per_task: 1.0
    per_shot: 0.002
"""


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    instrument("cirq")
    yield
    uninstrument()


def sample(simulator: cirq.Sampler) -> None:
    simulator.run(cirq.Circuit(cirq.measure(cirq.LineQubit(0))), repetitions=100)


def test_a_simulator_that_a_table_of_ones_own_names_has_a_price_and_a_budget(
    new_monitor: NewMonitor, tmp_path: Path
) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text(TABLE)
    monitor = new_monitor(price_tables=table, alert_config={"cost_budget": 5.0}, enforce_budget=True).start_run("a")
    for _ in range(4):
        sample(cirq.Simulator())
    with pytest.raises(BudgetExceeded):
        sample(cirq.Simulator())
    sample(cirq.DensityMatrixSimulator())  # nobody names it
    told = monitor.get_comprehensive_summary()["execution_summary"]
    assert told["costs"] == {"EUR": pytest.approx(4.8)}


def test_without_such_a_table_a_simulator_costs_nothing(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"cost_budget": 0.001}, enforce_budget=True).start_run("a")
    sample(cirq.Simulator())
    assert monitor.get_comprehensive_summary()["execution_summary"]["costs"] == {}
