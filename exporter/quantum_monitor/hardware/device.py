"""Device: what the measurements ask of a backend, of whichever framework it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from quantum_monitor.hardware.profile import Stated
from quantum_monitor.physics.volume import ModelCircuit

AT_ONCE_LOCALLY = 10
"""Circuits that a simulator in this process gets in one job: the clock is looked at in between."""

Counts = Mapping[Any, int]
"""Outcome to how often; an outcome is a number or a bit string, the first qubit being the most significant bit."""


class TimeIsUpError(Exception):
    """A job was not done when the time was; it is cancelled where that is possible."""


class Device(Protocol):
    """A backend with the qubits that are to be measured."""

    name: str
    framework: str
    compilation: str
    qubits: int | None
    widest: int
    """The widest model circuit that fits."""
    chosen: tuple[str, ...]
    at_once: int | None
    """Circuits a job; None for all."""

    def basis_gates(self) -> tuple[str, ...]:
        """Names of its gates; empty where it does not say."""

    def stated(self) -> Stated:
        """What the vendor states."""

    def versions(self) -> dict[str, str]:
        """Versions of its own."""

    def readout_qubits(self, width: int) -> list[tuple[str, Any]]:
        """The qubits to read, each with its name and a handle for `preparations`.

        Args:
            width: how many of a simulator whose qubits are all alike.
        """

    def preparations(self, group: Sequence[Any], seed: int) -> list[Any]:
        """Two compiled circuits that prepare and read 0...0 and 1...1 on some qubits."""

    def model_circuits(self, circuits: Sequence[ModelCircuit], width: int, seed: int) -> list[Any]:
        """Model circuits, compiled, with every qubit read."""

    def sample(self, compiled: Sequence[Any], shots: int, seed: int, timeout: float | None) -> list[Counts]:
        """Run compiled circuits of one width in one job.

        Args:
            compiled: what the methods above made.
            shots: shots of each.
            seed: for a simulator that takes one.
            timeout: seconds to wait for a job that may wait elsewhere; None for as long as it takes.

        Raises:
            TimeIsUpError: the job was not done by then.
            Exception: whatever the backend raises.
        """
