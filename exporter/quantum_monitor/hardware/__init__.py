"""Hardware profiles: what a backend does, measured, beside what its vendor states."""

from quantum_monitor.hardware.facts import ProfileRow, profile_rows
from quantum_monitor.hardware.figures import heavy_output_figure
from quantum_monitor.hardware.measure import profile_backend
from quantum_monitor.hardware.profile import HardwareProfile
from quantum_monitor.hardware.stored import stored_profiles

__all__ = [
    "HardwareProfile",
    "ProfileRow",
    "heavy_output_figure",
    "profile_backend",
    "profile_rows",
    "stored_profiles",
]
