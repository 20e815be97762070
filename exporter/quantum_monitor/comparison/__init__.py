"""Is run B better than run A: groups of runs, compared at the end and over the steps."""

from quantum_monitor.comparison.compare import compare_runs
from quantum_monitor.comparison.result import Comparison, Difference, Setting
from quantum_monitor.comparison.runs import select_runs

__all__ = ["Comparison", "Difference", "Setting", "compare_runs", "select_runs"]
