"""profile_backend: quantum volume and readout error of a backend, measured; errors and decay as its vendor states them.

The protocol of the volume is that of A. W. Cross et al., Phys. Rev. A 100, 032328 (2019).
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantum_monitor import masking
from quantum_monitor._version import __version__
from quantum_monitor.environment import packages
from quantum_monitor.faults import FAULTS
from quantum_monitor.hardware import stored
from quantum_monitor.hardware.device import Device, TimeIsUpError
from quantum_monitor.hardware.profile import HardwareProfile, QubitReadout, Readout, Stated, Stopped, WidthResult
from quantum_monitor.log import LOG
from quantum_monitor.names import text
from quantum_monitor.physics.volume import heavy_output_probability, output_probabilities, random_model_circuit
from quantum_monitor.process import current_monitor

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor

_DEFAULT_WIDEST = 6
_WIDEST = 20  # the ideal circuit is simulated here: 2^20 amplitudes
_READ_TOGETHER = 10
_REASON_LENGTH = 300


def profile_backend(
    backend: Any,
    *,
    monitor: QuantumMonitor | None = None,
    widths: Iterable[int] | None = None,
    circuits: int = 100,
    shots: int = 1000,
    seed: int | None = None,
    qubits: Sequence[Any] | None = None,
    max_seconds: float | None = 600.0,
    progress: Callable[[str], None] | None = None,
) -> HardwareProfile:
    """Measure what a backend does, and keep it beside what its vendor states.

    Readout errors first, then the quantum volume: random model circuits from the smallest width upward, until a width
    fails. The call waits for the backend and its queue; a real one bills the shots: two circuits for every ten
    qubits, and ``circuits`` for every width. Executions are not counted as those of the run.

    What is found goes to the metrics of the monitor, and as an artifact of kind ``profile`` into its active run. A
    backend that fails, or a time limit, leaves a profile of what was measured before, which says so; Ctrl-C goes
    through and leaves none.

    Args:
        backend: a backend of Qiskit (BackendV2: IBM's, its fakes, Aer, GenericBackendV2), or a sampler or processor of
            Cirq (a simulator, with noise or without, an engine, a virtual machine).
        monitor: who is told; the monitor whose run is active where None, else nobody.
        widths: widths to measure, each from 2 to 20; 2 to 6 unless given, or as many as the backend has qubits.
        circuits: model circuits a width; fewer than 100 decide nothing: every width is measured, and gives no volume.
        shots: shots a circuit.
        seed: makes the circuits the same again, and the outcomes of simulators of Qiskit; drawn and kept unless given.
        qubits: the qubits to measure, in this order: a width takes the first of them. Numbers in Qiskit, qubits (or
            numbers on a line) in Cirq. The compiler chooses unless given.
        max_seconds: seconds after which no further job is begun, and a job on a service is cancelled; None for none.
        progress: gets a sentence for each step; the log unless given.

    Raises:
        TypeError: the backend is of neither framework.
        ValueError: an argument that cannot be used; says which and why.

    Example:
        >>> from qiskit.providers.fake_provider import GenericBackendV2  # doctest: +SKIP
        >>> profile = profile_backend(GenericBackendV2(5), seed=7)  # doctest: +SKIP
        >>> profile.volume, profile.readout.error.value  # doctest: +SKIP
    """
    circuits, shots = _whole(circuits, "circuits", 1, 100_000), _whole(shots, "shots", 1, 2**31)
    seed = secrets.randbelow(2**31) if seed is None else _whole(seed, "seed", 0, 2**31 - 1)
    if max_seconds is not None and not max_seconds > 0:
        raise ValueError(f"max_seconds is {max_seconds!r}: hand over seconds above 0, or None for no limit")
    device = _device(backend, None if qubits is None else _distinct(qubits))
    wanted = _widths(widths, device.widest)
    monitor = monitor or current_monitor()
    work = _Work(
        device=device,
        shots=shots,
        circuits=circuits,
        seed=seed,
        until=None if max_seconds is None else time.monotonic() + max_seconds,
        tell=progress or LOG.info,
    )
    with contextlib.nullcontext() if monitor is None else monitor.waiting_for_backend(device.name):
        profile = _measured(work, wanted)
    if monitor is not None:
        stored.deliver(profile, monitor)
    return profile


@dataclass(frozen=True)
class _Work:
    device: Device
    shots: int
    circuits: int
    seed: int
    until: float | None
    tell: Callable[[str], None]

    @property
    def left(self) -> float | None:
        """Seconds that are left; None without a limit."""
        return None if self.until is None else self.until - time.monotonic()

    @property
    def time_is_up(self) -> bool:
        return self.left is not None and self.left <= 0

    def say(self, sentence: str) -> None:
        try:
            self.tell(f"{self.device.name}: {sentence}")
        except Exception as error:  # noqa: BLE001 - hours of measurements must outlive whatever a display does
            FAULTS.rejected("profile_backend", error)

    def batches(self, count: int, *, of: int = 1) -> Iterator[range]:
        """Numbers of what goes into one job after the other, ``of`` circuits each, as long as there is time."""
        size = max(1, self.device.at_once // of) if self.device.at_once else count
        for begin in range(0, count, size):
            if self.time_is_up:
                raise TimeIsUpError
            yield range(begin, min(begin + size, count))


def _measured(work: _Work, widths: Sequence[int]) -> HardwareProfile:
    device = work.device
    begun, clock = time.time(), time.monotonic()
    profile = HardwareProfile(
        backend=device.name,
        framework=device.framework,
        qubits=device.qubits,
        basis_gates=device.basis_gates(),
        chosen_qubits=device.chosen,
        compilation=device.compilation,
        measured_at=begun,
        seconds=0.0,
        circuits=work.circuits,
        shots=work.shots,
        seed=work.seed,
        stopped="too few qubits" if not widths else "all widths measured",
        versions=_versions(device),
        stated=_stated(device),
    )
    readout, problem = _readout(work, max(widths, default=1))
    problems = [problem] if problem else []
    results, stopped, problem = _volume(work, widths)
    problems += [problem] if problem else []
    return replace(
        profile,
        readout=readout,
        widths=tuple(results),
        stopped=stopped or profile.stopped,
        problems=tuple(problems),
        seconds=time.monotonic() - clock,
        versions=_versions(device),
    )


def _readout(work: _Work, width: int) -> tuple[Readout | None, str]:
    """Readout errors of the qubits, ten at a time, and what went wrong."""
    found: list[QubitReadout] = []
    try:
        qubits = work.device.readout_qubits(width)
        groups = [qubits[begin : begin + _READ_TOGETHER] for begin in range(0, len(qubits), _READ_TOGETHER)]
        for batch in work.batches(len(groups), of=2):
            found += _read_together(work, groups[batch.start : batch.stop])
    except TimeIsUpError:
        return Readout(tuple(found)) if found else None, "Readout: the time limit was reached."
    except Exception as error:  # noqa: BLE001 - a backend may raise anything
        return Readout(tuple(found)) if found else None, _reason("Readout", error)
    readout = Readout(tuple(found))
    work.say(f"readout error {readout.error.value:.4f} over {len(found)} qubits")
    return readout, ""


def _read_together(work: _Work, groups: Sequence[Sequence[tuple[str, Any]]]) -> list[QubitReadout]:
    """One job for some groups."""
    made = [work.device.preparations([qubit for _, qubit in group], work.seed) for group in groups]
    compiled = [circuit for pair in made for circuit in pair]
    counts = work.device.sample(compiled, work.shots, work.seed, work.left)
    found = []
    for number, group in enumerate(groups):
        zero, one = (_ones(counts[2 * number + prepared], len(group)) for prepared in (0, 1))
        found += [
            QubitReadout(name, zero[0], zero[1][place], one[0], one[0] - one[1][place])
            for place, (name, _) in enumerate(group)
        ]
    return found


def _ones(counts: Mapping[Any, int], width: int) -> tuple[int, list[int]]:
    """Shots, and how often each qubit was read as 1."""
    ones = [0] * width
    for outcome, count in counts.items():
        number = int(outcome, 2) if isinstance(outcome, str) else int(outcome)
        if not 0 <= number < 1 << width or count < 0:
            raise ValueError(f"{count!r:.20} times the outcome {outcome!r:.100} came back for {width} qubits")
        for place in range(width):
            ones[place] += int(count) * (number >> (width - 1 - place) & 1)
    if not sum(counts.values()):
        raise ValueError("no shots came back")
    return int(sum(counts.values())), ones


def _volume(work: _Work, widths: Sequence[int]) -> tuple[list[WidthResult], Stopped | None, str]:
    """The widths that were measured, why not more (None: there are no more), and what went wrong."""
    results: list[WidthResult] = []
    for width in widths:
        found: list[tuple[int, int, float]] = []
        stopped: Stopped | None = None
        problem = ""
        try:
            for batch in work.batches(work.circuits):
                found += _heavy_outcomes(work, width, batch)
        except TimeIsUpError:
            stopped = "time limit"
        except Exception as error:  # noqa: BLE001 - a backend may raise anything
            stopped, problem = "backend failed", _reason(f"Width {width}", error)
        if found:
            heavy, shots, ideal = zip(*found, strict=True)
            results.append(WidthResult(width, heavy, shots, math.fsum(ideal) / len(ideal)))
            work.say(_outcome(results[-1]))
        if stopped is None and results[-1].verdict == "failed":
            stopped = "width failed"
        if stopped is not None:
            return results, stopped, problem
    return results, None, ""


def _heavy_outcomes(work: _Work, width: int, batch: range) -> list[tuple[int, int, float]]:
    """Heavy outcomes, shots and ideal probability of each circuit of one job."""
    # From seed, width and number, so that a circuit is the same whatever was measured before it.
    circuits = [random_model_circuit(width, seed=np.random.default_rng([work.seed, width, number])) for number in batch]
    compiled = work.device.model_circuits(circuits, width, work.seed)
    seed = int(np.random.default_rng([work.seed, width, batch.start, 1]).integers(2**31))
    counts = work.device.sample(compiled, work.shots, seed, work.left)
    found = []
    for circuit, outcomes in zip(circuits, counts, strict=True):
        shots = int(sum(outcomes.values()))
        ideal = output_probabilities(circuit, width)
        share = heavy_output_probability(ideal, outcomes)
        found.append((round(share * shots), shots, float(ideal[ideal > np.median(ideal)].sum())))
    return found


def _outcome(result: WidthResult) -> str:
    test = result.test
    return (
        f"width {result.width}: heavy outputs {test.mean:.4f}, two sigma below that {test.lower_bound:.4f}, "
        f"{test.circuits} circuits: {result.verdict}"
    )


def _reason(what: str, error: Exception) -> str:
    told = masking.text(f"{type(error).__name__}: {text(error)}")
    return f"{what}: {told}"[:_REASON_LENGTH]


def _stated(device: Device) -> Stated:
    try:
        told = device.stated()
    except Exception as error:  # noqa: BLE001 - a vendor's data may have any shape: then nothing is stated
        FAULTS.rejected("profile_backend", error)
        return Stated()
    names = {field.name: getattr(told, field.name) for field in fields(Stated)}
    most = {name: 1.0 if name.endswith("error") else math.inf for name in names}
    usable = {
        name: float(value)
        for name, value in names.items()
        if value is not None and math.isfinite(value) and 0 <= value <= most[name]
    }
    return Stated(**usable)


def _versions(device: Device) -> dict[str, str]:
    own = {"numpy", device.framework}
    found = {name: version for name, version in packages().items() if name.split("_")[0] in own}
    return {"quantum_monitor": __version__, **found, **device.versions()}


def _device(backend: Any, qubits: Sequence[Any] | None) -> Device:
    """The backend as what the measurements need; told by what it has, so that no framework is imported for another."""
    if hasattr(backend, "target") and callable(getattr(backend, "run", None)):
        from quantum_monitor.hardware.qiskit_device import QiskitDevice

        return QiskitDevice(backend, qubits)
    if callable(getattr(backend, "run_batch", None)) or callable(getattr(backend, "get_sampler", None)):
        from quantum_monitor.hardware.cirq_device import CirqDevice

        return CirqDevice(backend, qubits)
    raise TypeError(
        f"backend: a {type(backend).__name__} is neither a backend of Qiskit (BackendV2) nor a sampler of Cirq; "
        "hand over one of those"
    )


def _distinct(qubits: Sequence[Any]) -> list[Any]:
    found = list(qubits)
    if not found or len(set(found)) != len(found):
        raise ValueError(f"qubits: {found!r:.200} is empty or names a qubit twice; hand over each once")
    return found


def _widths(given: Iterable[int] | None, widest: int) -> list[int]:
    if given is None:
        return list(range(2, min(widest, _DEFAULT_WIDEST) + 1))
    found = sorted({_whole(width, "widths", 2, min(widest, _WIDEST)) for width in given})
    if not found:
        raise ValueError("widths is empty: hand over the widths to measure, such as range(2, 7)")
    return found


def _whole(value: Any, name: str, least: int, most: int) -> int:
    number = value if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None
    if number is None or not least <= number <= most:
        raise ValueError(f"{name}: {value!r:.100} is no whole number from {least} to {most}, which can be taken here")
    return int(number)
