"""QuantumVisualization: the figures of states, of circuits and of runs, for a notebook, a page or a paper."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from quantum_monitor.physics.states import StateLike, as_numbers
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.viewing import stored_run
from quantum_monitor.views import export
from quantum_monitor.views.figure_amplitudes import amplitudes_figure
from quantum_monitor.views.figure_bloch import bloch_figure
from quantum_monitor.views.figure_density import Style, density_figure
from quantum_monitor.views.figure_entanglement import entanglement_figure
from quantum_monitor.views.figure_evolution import evolution_figure
from quantum_monitor.views.figure_states import state_figure
from quantum_monitor.views.observed import Amount, Curve, Observed, observe
from quantum_monitor.views.panel_series import named
from quantum_monitor.views.panels import PANELS, Panel, panel_figure
from quantum_monitor.views.theme import Theme

SavePath: TypeAlias = "str | os.PathLike[str] | None"
RunLike: TypeAlias = Any
"""A `StoredRun`, the directory of one, or a `QuantumMonitor`: its active or last run, with all that was logged."""

_PANELS = {panel.key: panel for panel in PANELS}
_GRADIENTS = Panel(
    "gradients",
    "Gradients",
    "Euclidean norm",
    "step",
    named(
        "training",
        [
            ("gradient_norm", "norm", "y"),
            ("gradient_variance", "variance of the norms of 10 steps", "y2"),
            ("gradient_component_variance", "variance across the components", "y2"),
        ],
    ),
    y2_title="Variance",
    log=True,
    marks_alerts=True,
)


class QuantumVisualization:
    """Figures. Each method returns a plotly figure, and writes it as well where there is a ``save_path``.

    The ending of ``save_path`` decides the format: ``.html`` (interactive, one file, no network), ``.png`` or ``.svg``
    (drawn by a browser, which must be installed). ``theme`` is ``light`` or ``dark``. Every method raises a
    ``ValueError`` that names what is wrong, `MissingExtraError` where plotly (or kaleido, for images) is not installed,
    `ImageError` where an image cannot be drawn, and ``OSError`` where a file cannot be written or a run not be found.

    States are anything that `quantum_monitor.physics.as_state` reads: amplitudes, density matrices, and the objects of
    Qiskit, QuTiP, PennyLane and Cirq. Qubit 0 is the most significant bit of an index; an object of a framework keeps
    that framework's numbering.

    Example:
        >>> QuantumVisualization.plot_bloch_sphere([1, 1], "plus.html")  # doctest: +SKIP
    """

    @staticmethod
    def plot_bloch_sphere(
        state: StateLike, save_path: SavePath = None, *, qubits: Iterable[int] | None = None, theme: Theme = "light"
    ) -> Any:
        """The reduced state of each of ``qubits`` (None: of all) on a Bloch sphere; see `figure_bloch.bloch_figure`."""
        _check(save_path)
        return _saved(bloch_figure(state, qubits=qubits, theme=theme), save_path)

    @staticmethod
    def plot_state(state: StateLike, save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """Basis states, qubits and pairs of qubits in one figure; see `figure_states.state_figure`."""
        _check(save_path)
        return _saved(state_figure(state, theme=theme), save_path)

    @staticmethod
    def plot_amplitudes(state: StateLike, save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """Probability and phase of each basis state; see `figure_amplitudes.amplitudes_figure`."""
        _check(save_path)
        return _saved(amplitudes_figure(state, theme=theme), save_path)

    @staticmethod
    def plot_density_matrix(
        state: StateLike,
        save_path: SavePath = None,
        *,
        style: Style = "heatmap",
        qubits: Iterable[int] | None = None,
        theme: Theme = "light",
    ) -> Any:
        """Real and imaginary part of the density matrix, as ``heatmap`` or ``city``; see `figure_density`."""
        _check(save_path)
        return _saved(density_figure(state, style=style, qubits=qubits, theme=theme), save_path)

    @staticmethod
    def plot_entanglement(
        state: StateLike, save_path: SavePath = None, *, qubits: Iterable[int] | None = None, theme: Theme = "light"
    ) -> Any:
        """Mutual information of each pair of qubits in bits; see `figure_entanglement.entanglement_figure`."""
        _check(save_path)
        return _saved(entanglement_figure(state, qubits=qubits, theme=theme), save_path)

    @staticmethod
    def plot_state_evolution(history: Any, save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """States over steps, with a slider; see `figure_evolution.evolution_figure`.

        Args:
            history: states, pairs of step and state, a mapping of steps to states; or a run, whose snapshots are drawn.
            save_path: where to write it.
            theme: ``light`` or ``dark``.
        """
        _check(save_path)
        run = _is_run(history)
        return _saved(evolution_figure(_stored(history) if run else history, theme=theme), save_path)

    @staticmethod
    def plot_circuit(circuit: Any, save_path: SavePath = None, *, name: str = "", theme: Theme = "light") -> Any:
        """A circuit of any supported framework, a description or OpenQASM text; see `figure_circuit.circuit_figure`."""
        from quantum_monitor.views.figure_circuit import circuit_figure

        _check(save_path)
        return _saved(circuit_figure(circuit, name=name, theme=theme), save_path)

    @staticmethod
    def plot_training(data: RunLike | Sequence[float], save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """The loss of a run over steps; or a sequence of losses, one a step from 0."""
        return _panel(_PANELS["loss"], data, save_path, theme, numbers=("training", "loss"))

    @staticmethod
    def plot_gradients(data: RunLike | Sequence[float], save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """Norm and variances of the gradients of a run over steps; or a sequence of norms."""
        return _panel(_GRADIENTS, data, save_path, theme, numbers=("training", "gradient_norm"))

    @staticmethod
    def plot_fidelity(data: RunLike | Sequence[float], save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """Fidelity, purity and entropies of a run's states over steps; or a sequence of fidelities."""
        return _panel(_PANELS["fidelity_entropy"], data, save_path, theme, numbers=("state", "fidelity"))

    @staticmethod
    def plot_times(data: RunLike, save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """Execution and queue times of a run's circuits in seconds."""
        return _panel(_PANELS["times"], data, save_path, theme)

    @staticmethod
    def plot_cost(data: RunLike, save_path: SavePath = None, *, theme: Theme = "light") -> Any:
        """What a run has spent so far, by currency and kind."""
        return _panel(_PANELS["cost"], data, save_path, theme)


def _check(save_path: SavePath) -> None:
    """Refuse an ending that is no format before any work is done."""
    if save_path is not None and Path(save_path).suffix.lower() not in export.ENDINGS:
        raise ValueError(f"save_path: {os.fspath(save_path)!r} ends in neither of {', '.join(export.ENDINGS)}")


def _saved(figure: Any, save_path: SavePath) -> Any:
    if save_path is not None:
        export.save_figure(figure, save_path)
    return figure


def _panel(
    panel: Panel, data: Any, save_path: SavePath, theme: Theme, *, numbers: tuple[str, str] | None = None
) -> Any:
    _check(save_path)
    if _is_run(data):
        run = _stored(data)
        observed, whose = observe(run), f"the run in {run.directory}"
    elif numbers is None:
        raise ValueError(
            f"data: {type(data).__name__} is no run; hand over a run's directory, a StoredRun or a monitor"
        )
    else:
        observed, whose = _observed(data, *numbers), "data"
    figure = panel_figure(panel, observed, theme)
    if figure is None:
        raise ValueError(f"data: {whose} has nothing for the figure {panel.title!r}: nothing of it was logged")
    return _saved(figure, save_path)


def _is_run(data: Any) -> bool:
    return isinstance(data, StoredRun | str | os.PathLike) or hasattr(data, "run_path")


def _stored(data: Any) -> StoredRun:
    if isinstance(data, StoredRun):
        return data
    return stored_run(data) if hasattr(data, "run_path") else StoredRun(data)


def _observed(data: Any, kind: str, field: str) -> Observed:
    """Numbers of the caller's as if they had been logged, one a step; NaN and infinity are numbers here."""
    values = as_numbers(data if isinstance(data, np.ndarray) else list(data) if _is_plain(data) else data, "data")
    if values.ndim != 1 or not len(values) or values.dtype.kind != "f":
        raise ValueError(f"data: expected a sequence of real numbers, got shape {values.shape} of {values.dtype}")
    steps = np.arange(len(values), dtype=np.float64)
    amount = Amount(field, kind, (), curve=Curve())
    amount.take(steps, steps, np.ascontiguousarray(values, dtype=np.float64))
    return Observed(amounts={(kind, field, ()): amount})


def _is_plain(data: Any) -> bool:
    return isinstance(data, Iterable) and not isinstance(data, Mapping) and not hasattr(data, "__array__")
