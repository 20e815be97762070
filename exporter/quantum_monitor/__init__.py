"""quantum-monitor: Prometheus metrics from inside the training of a quantum circuit."""

from quantum_monitor._version import __version__
from quantum_monitor.alerts.system import QuantumAlertSystem
from quantum_monitor.config import ConfigurationError
from quantum_monitor.monitor import (
    QuantumMonitor,
    create_quantum_monitor,
    monitor_quantum_training,
)
from quantum_monitor.physics.calculator import QuantumMetricsCalculator
from quantum_monitor.plugins import alert_rule, circuit_metric, gradient_metric, state_metric
from quantum_monitor.process import current_monitor

__all__ = [
    "ConfigurationError",
    "QuantumAlertSystem",
    "QuantumMetricsCalculator",
    "QuantumMonitor",
    "__version__",
    "alert_rule",
    "circuit_metric",
    "create_quantum_monitor",
    "current_monitor",
    "gradient_metric",
    "monitor_quantum_training",
    "state_metric",
]
