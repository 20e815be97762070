"""Physics of states, circuits, gradients and quantum volume: pure functions over numpy, nothing of the monitor's.

Conventions: fidelity is squared, entropies are in bits, qubit 0 is the most significant bit of an index.
"""

from __future__ import annotations

from quantum_monitor.physics.calculator import QuantumMetricsCalculator
from quantum_monitor.physics.circuits import CircuitFacts, CircuitLike, circuit_depth, circuit_facts
from quantum_monitor.physics.gradients import ComponentStatistics, component_statistics, gradient_variance
from quantum_monitor.physics.measures import (
    concurrence,
    describe_state,
    entanglement_entropy,
    entropies,
    fidelity,
    meyer_wallach,
    mutual_information,
    participation_ratio,
    purity,
    quick_measures,
    reduced_density_matrix,
    von_neumann_entropy,
)
from quantum_monitor.physics.states import State, StateLike, as_state
from quantum_monitor.physics.volume import (
    QuantumVolumeTest,
    estimate_quantum_volume,
    heavy_output_probability,
    ideal_heavy_output_probability,
    measured_quantum_volume,
    output_probabilities,
    quantum_volume_test,
    random_model_circuit,
)

__all__ = [
    "CircuitFacts",
    "CircuitLike",
    "ComponentStatistics",
    "QuantumMetricsCalculator",
    "QuantumVolumeTest",
    "State",
    "StateLike",
    "as_state",
    "circuit_depth",
    "circuit_facts",
    "component_statistics",
    "concurrence",
    "describe_state",
    "entanglement_entropy",
    "entropies",
    "estimate_quantum_volume",
    "fidelity",
    "gradient_variance",
    "heavy_output_probability",
    "ideal_heavy_output_probability",
    "measured_quantum_volume",
    "meyer_wallach",
    "mutual_information",
    "output_probabilities",
    "participation_ratio",
    "purity",
    "quantum_volume_test",
    "quick_measures",
    "random_model_circuit",
    "reduced_density_matrix",
    "von_neumann_entropy",
]
