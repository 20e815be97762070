"""quantum-monitor: Prometheus metrics from inside the training of a quantum circuit."""

from typing import TYPE_CHECKING, Any

from quantum_monitor._version import __version__
from quantum_monitor.alerts.system import QuantumAlertSystem
from quantum_monitor.config import ConfigurationError
from quantum_monitor.monitor import (
    QuantumMonitor,
    create_quantum_monitor,
    monitor_quantum_training,
)
from quantum_monitor.physics.calculator import QuantumMetricsCalculator
from quantum_monitor.plugins import alert_rule, circuit_metric, figure, gradient_metric, state_metric
from quantum_monitor.process import current_monitor

if TYPE_CHECKING:
    from quantum_monitor.comparison import compare_runs
    from quantum_monitor.costs import BudgetExceeded, estimate
    from quantum_monitor.frameworks import instrument, uninstrument
    from quantum_monitor.hardware import profile_backend
    from quantum_monitor.views.visualization import QuantumVisualization

# Imported when somebody asks for them: training needs none of them.
_LATER = {
    "BudgetExceeded": "quantum_monitor.costs",
    "QuantumVisualization": "quantum_monitor.views.visualization",
    "compare_runs": "quantum_monitor.comparison",
    "estimate": "quantum_monitor.costs",
    "instrument": "quantum_monitor.frameworks",
    "profile_backend": "quantum_monitor.hardware",
    "uninstrument": "quantum_monitor.frameworks",
}

__all__ = [
    "BudgetExceeded",
    "ConfigurationError",
    "QuantumAlertSystem",
    "QuantumMetricsCalculator",
    "QuantumMonitor",
    "QuantumVisualization",
    "__version__",
    "alert_rule",
    "circuit_metric",
    "compare_runs",
    "create_quantum_monitor",
    "current_monitor",
    "estimate",
    "figure",
    "gradient_metric",
    "instrument",
    "monitor_quantum_training",
    "profile_backend",
    "state_metric",
    "uninstrument",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
