"""QuantumMetricsCalculator: the measures under one name, as static methods."""

from __future__ import annotations

from quantum_monitor.physics import circuits, gradients, measures, volume


class QuantumMetricsCalculator:
    """Every physical quantity the monitor logs, computed on demand.

    Each method is the function of `quantum_monitor.physics` it points to, where shapes, units, ranges, errors and
    sources are described. Wrong input raises ``ValueError`` with the field and the reason.
    """

    calculate_fidelity = staticmethod(measures.fidelity)
    calculate_entanglement_entropy = staticmethod(measures.entanglement_entropy)
    calculate_purity = staticmethod(measures.purity)
    calculate_participation_ratio = staticmethod(measures.participation_ratio)
    calculate_meyer_wallach = staticmethod(measures.meyer_wallach)
    calculate_concurrence = staticmethod(measures.concurrence)
    calculate_mutual_information = staticmethod(measures.mutual_information)
    calculate_von_neumann_entropy = staticmethod(measures.von_neumann_entropy)
    calculate_circuit_depth = staticmethod(circuits.circuit_depth)
    calculate_gradient_variance = staticmethod(gradients.gradient_variance)
    calculate_quantum_volume = staticmethod(volume.estimate_quantum_volume)
    calculate_heavy_output_probability = staticmethod(volume.heavy_output_probability)
    calculate_measured_quantum_volume = staticmethod(volume.measured_quantum_volume)
