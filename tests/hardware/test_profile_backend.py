"""profile_backend: what it measures is what the backend does, whatever the layout, and what it cannot it says."""

from __future__ import annotations

import math
import threading
import warnings
from itertools import pairwise
from typing import Any

import cirq
import numpy as np
import pytest
from qiskit.circuit.library import quantum_volume
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Statevector
from qiskit.transpiler import CouplingMap

from quantum_monitor.hardware import HardwareProfile, profile_backend, profile_rows
from quantum_monitor.hardware.cirq_device import as_cirq
from quantum_monitor.hardware.qiskit_device import as_qiskit
from quantum_monitor.physics.volume import (
    heavy_output_probability,
    ideal_heavy_output_probability,
    output_probabilities,
    random_model_circuit,
)
from tests.hardware.known_backends import KnownBackend, QueuedBackend, line_target


def quick(backend: Any, **options: Any) -> HardwareProfile:
    return profile_backend(backend, **{"widths": [2, 3], "shots": 100, "seed": 7, "progress": str, **options})


@pytest.mark.parametrize("width", [2, 3, 5])
def test_a_model_circuit_is_the_same_in_every_framework(width: int) -> None:
    circuit = random_model_circuit(width, seed=width)
    ours = output_probabilities(circuit, width)
    in_qiskit = Statevector(as_qiskit(circuit, width).reverse_bits()).probabilities()
    np.testing.assert_allclose(in_qiskit, ours, atol=1e-12)
    state = as_cirq(circuit, cirq.LineQubit.range(width)).final_state_vector(
        qubit_order=cirq.LineQubit.range(width), dtype=np.complex128
    )
    np.testing.assert_allclose(np.abs(state) ** 2, ours, atol=1e-7)


def test_qiskits_own_volume_circuits_have_our_heavy_outputs() -> None:
    def heavy(probabilities: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        return heavy_output_probability(probabilities, dict(enumerate(probabilities)))

    theirs = [heavy(Statevector(quantum_volume(3, seed=seed)).probabilities()) for seed in range(300)]
    ours = [heavy(output_probabilities(random_model_circuit(3, seed=seed), 3)) for seed in range(300)]
    # Three layers are not quite a random state; both kinds of circuits are off by the same.
    error = math.sqrt((np.var(theirs) + np.var(ours)) / 300)
    assert abs(np.mean(theirs) - np.mean(ours)) < 4 * error


@pytest.mark.parametrize(
    ("backend", "name", "widths"),
    [(BasicSimulator(), "basic_simulator", [2, 3]), (cirq.Simulator(seed=3), "cirq.Simulator", [2])],
)
def test_a_simulator_without_errors_passes_every_width(backend: Any, name: str, widths: list[int]) -> None:
    profile = quick(backend, widths=widths)
    assert (profile.backend, profile.volume) == (name, 2 ** widths[-1])
    assert (profile.stopped, [result.width for result in profile.widths]) == ("all widths measured", widths)
    for result in profile.widths:
        # 10,000 shots are off by 0.004 from what these very circuits give
        assert result.test.mean == pytest.approx(result.ideal, abs=0.016)
        # a circuit's probability spreads by 0.11, so 100 of them are off by 0.011 from all there are
        assert result.test.mean == pytest.approx(ideal_heavy_output_probability(result.width), abs=0.05)
        assert result.verdict == "passed"
        assert (len(result.heavy), set(result.shots)) == (100, {100})
    assert profile.readout is not None
    assert profile.readout.error.value == 0
    assert 0 < profile.readout.error.high < 0.02  # 600 readings without an error do not prove that there are none
    assert profile.stated.t1 is profile.stated.two_qubit_error is None


def test_the_outcome_can_be_repeated_from_the_seed() -> None:
    first = quick(BasicSimulator(), circuits=12)
    again = quick(BasicSimulator(), circuits=12, seed=first.seed)
    assert first.widths == again.widths
    # another seed makes other circuits, also where the backend draws its outcomes as before
    known, other = (quick(KnownBackend(line_target(2)), circuits=3, widths=[2], seed=seed) for seed in (7, 8))
    assert known.widths != other.widths
    # and a circuit is the same whatever was measured before it
    assert quick(BasicSimulator(), circuits=12, widths=[3]).widths[0].heavy == first.widths[1].heavy
    drawn = quick(BasicSimulator(), circuits=12, seed=None)
    assert quick(BasicSimulator(), circuits=12, seed=drawn.seed).widths == drawn.widths


@pytest.mark.parametrize("qubits", [None, [0, 1, 2], [3, 1, 0], [2, 0, 3]])
def test_bits_belong_to_their_qubits_in_every_layout(qubits: list[int] | None) -> None:
    backend = KnownBackend(line_target(4))
    profile = quick(backend, qubits=qubits, circuits=20)
    assert all(result.test.mean > 0.74 for result in profile.widths)  # bits at the wrong place would be noise: 0.5
    assert profile.chosen_qubits == tuple(map(str, qubits or ()))
    # the compiled circuits use the gates of the backend, where they are connected
    names = {operation.operation.name for circuit in backend.circuits for operation in circuit.data}
    assert names <= {"rz", "sx", "x", "cz", "measure", "barrier"}
    assert "cz" in names


def test_a_backend_that_mixes_up_its_bits_fails() -> None:
    profile = quick(KnownBackend(line_target(4), swaps_bits=True))
    assert (profile.volume, profile.stopped, len(profile.widths)) == (1, "width failed", 1)
    assert profile.widths[0].verdict == "failed"


@pytest.mark.parametrize("kept", [0.8, 0.0])
def test_global_noise_takes_heavy_outputs_as_the_formula_says(kept: float) -> None:
    clean = quick(KnownBackend(line_target(2)), widths=[2]).widths[0]
    noisy = quick(KnownBackend(line_target(2), kept=kept), widths=[2]).widths[0]
    expected = kept * clean.test.mean + (1 - kept) / 2
    assert noisy.test.mean == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 10_000) * math.sqrt(2))
    assert noisy.verdict == ("passed" if noisy.test.mean - 2 * noisy.test.sigma > 2 / 3 else "failed")
    assert noisy.test.sigma == pytest.approx(math.sqrt(noisy.test.mean * (1 - noisy.test.mean) / 100))


def test_noise_that_grows_with_the_circuit_ends_the_climb() -> None:
    noise = cirq.ConstantQubitNoiseModel(cirq.depolarize(0.03))
    profile = quick(cirq.DensityMatrixSimulator(noise=noise, seed=1), shots=50)
    assert len(profile.widths) == 1
    assert profile.stopped == "width failed"
    assert profile.widths[-1].verdict == "failed"
    assert "two-sigma" in profile.notes[0]


def test_readout_errors_are_found_on_their_own_qubits() -> None:
    flips = [(0.0, 0.0), (0.02, 0.08), (0.3, 0.1), (0.0, 1.0)]
    profile = quick(KnownBackend(line_target(4), flips=flips), shots=2000, circuits=1, qubits=[2, 0, 3, 1])
    assert profile.readout is not None
    assert [qubit.qubit for qubit in profile.readout.qubits] == ["2", "0", "3", "1"]
    for qubit in profile.readout.qubits:
        given_zero, given_one = flips[int(qubit.qubit)]
        assert qubit.ones_of_zero / qubit.zeros == pytest.approx(given_zero, abs=0.04)
        assert qubit.zeros_of_one / qubit.ones == pytest.approx(given_one, abs=0.03)
        assert qubit.error.low <= (given_zero + given_one) / 2 <= qubit.error.high
    told = profile.readout
    assert told.given_zero.low < 0.08 < told.given_zero.high
    assert told.given_one.low < 0.295 < told.given_one.high
    assert told.error.value == pytest.approx((told.given_zero.value + told.given_one.value) / 2)


def test_more_qubits_than_are_read_together_are_all_read() -> None:
    flips = [(0.0, 1.0 if qubit == 11 else 0.0) for qubit in range(13)]
    backend = KnownBackend(line_target(13), flips=flips)
    profile = quick(backend, circuits=12, shots=20, widths=[2])
    assert profile.readout is not None
    assert [qubit.zeros_of_one for qubit in profile.readout.qubits] == [20 if qubit == 11 else 0 for qubit in range(13)]
    assert backend.jobs == 2  # a queue is waited for once for the readout, and once a width


def test_what_the_target_states_stays_apart_from_what_is_measured() -> None:
    target = line_target(3, readout=[0.01, 0.02, 0.09], t1=[1e-4, None, 3e-4], two_qubit=[0.01, 0.02])
    profile = quick(KnownBackend(target), circuits=1)
    stated = profile.stated
    assert (stated.readout_error, stated.one_qubit_error, stated.two_qubit_error) == (0.02, 0.002, 0.015)
    assert stated.t1 == pytest.approx(2e-4)
    assert stated.calibration_time is None
    assert profile.readout is not None
    assert profile.readout.error.value == 0
    nothing = quick(KnownBackend(line_target(3)), circuits=1).stated
    assert set(vars(nothing).values()) == {None}


@pytest.mark.filterwarnings("ignore:Aer not found:RuntimeWarning")
def test_a_generic_backend_of_qiskit_is_profiled() -> None:
    backend = GenericBackendV2(5, coupling_map=CouplingMap.from_line(5), seed=1)
    profile = quick(backend, circuits=10, widths=[2, 4])
    assert profile.stated.readout_error == np.median([backend.target["measure"][(n,)].error for n in range(5)])
    assert profile.stated.t2 == np.median([found.t2 for found in backend.target.qubit_properties])
    assert (profile.qubits, profile.framework) == (5, "qiskit")
    assert "cx" in profile.basis_gates
    assert "measure" not in profile.basis_gates
    assert {"qiskit", "numpy", "quantum_monitor"} <= set(profile.versions)


def test_aer_with_a_noise_model_reads_wrongly_as_often_as_the_model_says() -> None:
    aer = pytest.importorskip("qiskit_aer")
    noise = aer.noise.NoiseModel()
    noise.add_all_qubit_readout_error(aer.noise.ReadoutError([[0.98, 0.02], [0.1, 0.9]]))
    noise.add_all_qubit_quantum_error(aer.noise.depolarizing_error(0.05, 2), ["cx"])
    profile = quick(aer.AerSimulator(noise_model=noise), shots=2000, circuits=20)
    assert profile.readout is not None
    assert profile.readout.given_zero.value == pytest.approx(0.02, abs=0.01)
    assert profile.readout.given_one.value == pytest.approx(0.1, abs=0.02)
    assert 0.6 < profile.widths[0].test.mean < 0.78


@pytest.mark.parametrize("gate", ["cx", "cz"])
def test_the_two_qubit_gate_that_a_noise_model_of_aer_knows_is_the_one_that_is_measured(gate: str) -> None:
    aer = pytest.importorskip("qiskit_aer")
    noise = aer.noise.NoiseModel()  # whose usual gates have cx: a compiler that takes it meets no noise of cz
    noise.add_all_qubit_quantum_error(aer.noise.depolarizing_error(1.0, 2), [gate])
    (result,) = quick(aer.AerSimulator(noise_model=noise), widths=[2], circuits=10, shots=400).widths
    assert result.ideal > 0.7
    assert result.test.mean == pytest.approx(0.5, abs=0.05)


def test_a_constant_noise_model_of_cirq_is_stated_and_found_again() -> None:
    noise = cirq.ConstantQubitNoiseModel(cirq.depolarize(0.06))
    profile = quick(cirq.DensityMatrixSimulator(noise=noise, seed=2), shots=4000, circuits=1, widths=[2])
    assert profile.stated.one_qubit_error == pytest.approx(2 / 3 * 0.06)
    assert profile.stated.two_qubit_error == pytest.approx(4 / 5 * (1 - 0.94**2))
    assert profile.readout is not None
    # the one moment of the preparation flips with 2p/3, the channel's X and Y
    assert profile.readout.given_one.low < 0.04 < profile.readout.given_one.high
    assert profile.readout.given_zero.value == 0


class DeviceSampler(cirq.Simulator):  # type: ignore[misc]  # Cirq is untyped here
    """A simulator of a device that refuses what the device cannot do."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        super().__init__(seed=4)
        self.device = GridDevice(pairs)

    def run_batch(self, programs: Any, *args: Any, **options: Any) -> Any:
        for program in programs:
            self.device.validate_circuit(program)
        return super().run_batch(programs, *args, **options)


class GridDevice(cirq.Device):  # type: ignore[misc]  # Cirq is untyped here
    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        gates = cirq.Gateset(cirq.CZ, cirq.PhasedXZGate, cirq.MeasurementGate)
        compiled = (cirq.CZTargetGateset(),)
        self._metadata = cirq.GridDeviceMetadata(pairs, gates, compilation_target_gatesets=compiled)

    @property
    def metadata(self) -> Any:
        return self._metadata

    def validate_operation(self, operation: Any) -> None:
        assert operation in self._metadata.gateset, operation
        if len(operation.qubits) == 2:
            assert frozenset(operation.qubits) in self._metadata.qubit_pairs, operation


@pytest.mark.parametrize("chosen", [False, True])
def test_circuits_are_routed_on_a_device_of_cirq(chosen: bool) -> None:
    row = cirq.GridQubit.rect(1, 4)
    backend = DeviceSampler(list(pairwise(row)))
    profile = quick(backend, qubits=[row[2], row[1], row[0]] if chosen else None, circuits=8, widths=[3])
    assert (profile.qubits, profile.problems) == (4, ())
    assert profile.widths[0].test.mean > 0.74  # bits at the wrong place would be noise: 0.5
    assert profile.readout is not None
    assert len(profile.readout.qubits) == (3 if chosen else 4)
    assert any("CZ" in name for name in profile.basis_gates)


def test_fewer_than_a_hundred_circuits_decide_nothing() -> None:
    profile = quick(BasicSimulator(), circuits=99, shots=20)
    assert profile.volume is None
    assert {result.verdict for result in profile.widths} == {"too few circuits"}
    assert any("99 at width 2" in note for note in profile.notes)


def test_wide_circuits_that_fail_say_nothing_of_narrow_ones() -> None:
    profile = quick(KnownBackend(line_target(3), kept=0.0), widths=[3], shots=20)
    assert profile.widths[0].verdict == "failed"
    assert profile.volume is None


def test_a_job_that_fails_leaves_what_was_measured_before() -> None:
    secret = RuntimeError("no access at https://me:hunter2@api.example/v1, token=abcdef")
    profile = quick(KnownBackend(line_target(3), fails_from=2, error=secret))
    assert (profile.volume, profile.stopped) == (4, "backend failed")
    assert profile.readout is not None
    (problem,) = profile.problems
    assert problem.startswith("Width 3: RuntimeError: no access at https://")
    assert "hunter2" not in problem
    assert "abcdef" not in problem
    assert problem in profile.notes
    (ended,) = [row for row in profile_rows(profile) if row.quantity == "Ended"]
    assert ended.value == "backend failed"
    assert problem in ended.confidence  # a table in a report or on a page tells that it is not all


def test_a_backend_that_never_answers_leaves_a_profile_of_what_is_stated() -> None:
    profile = quick(KnownBackend(line_target(2, readout=[0.1, 0.2]), fails_from=0), widths=[2])
    assert (profile.readout, profile.widths, profile.volume, profile.stopped) == (None, (), None, "backend failed")
    assert len(profile.problems) == 2
    assert profile.stated.readout_error == pytest.approx(0.15)


def test_outcomes_that_cannot_be_are_no_measurement() -> None:
    class Garbled(KnownBackend):
        def _wrong(self, circuit: Any, counts: dict[str, int]) -> dict[str, int]:  # noqa: ARG002 - whatever ran
            return {"11111": 100}

    profile = quick(Garbled(line_target(2)), widths=[2])
    assert (profile.readout, profile.widths, profile.stopped) == (None, (), "backend failed")


def test_an_interrupt_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        quick(KnownBackend(line_target(3), fails_from=1, error=KeyboardInterrupt()))


def test_one_qubit_has_no_volume_and_still_a_readout() -> None:
    profile = quick(KnownBackend(line_target(1), flips=[(0.0, 1.0)]), widths=None)
    assert (profile.volume, profile.widths, profile.stopped) == (None, (), "too few qubits")
    assert profile.readout is not None
    assert profile.readout.error.value == 0.5


def test_a_job_that_stays_in_the_queue_is_cancelled_when_the_time_is_up() -> None:
    backend = QueuedBackend(line_target(3))
    profile = quick(backend, max_seconds=0.3)
    assert (profile.stopped, profile.widths, profile.readout) == ("time limit", (), None)
    assert [job.cancelled for job in backend.queued] == [True]  # and no further one was begun


def test_no_further_width_is_begun_when_the_time_is_up() -> None:
    told: list[str] = []

    def tell(sentence: str) -> None:
        told.append(sentence)
        if "width 2" in sentence:
            threading.Event().wait(1.0)  # the whole of the time

    profile = quick(BasicSimulator(), circuits=5, shots=20, max_seconds=1.0, progress=tell)
    assert (profile.stopped, [result.width for result in profile.widths]) == ("time limit", [2])
    assert told[0].startswith("basic_simulator: readout error 0.0000 over 3 qubits")
    assert told[1].startswith("basic_simulator: width 2: heavy outputs 0.")
    assert "time limit" in profile.notes[0]


def test_a_display_that_raises_costs_no_measurement() -> None:
    def broken(sentence: str) -> None:
        raise OSError(sentence)

    assert quick(BasicSimulator(), circuits=1, progress=broken).widths


def test_no_processes_are_forked_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QISKIT_PARALLEL", "TRUE")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr("os.fork", None)
        assert quick(BasicSimulator(), circuits=12).widths


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"circuits": 0}, "circuits: 0 is no whole number"),
        ({"shots": 2.5}, r"shots: 2\.5 is"),
        ({"seed": -1}, "seed: -1"),
        ({"seed": True}, "seed: True"),
        ({"widths": [1]}, "widths: 1 is no whole number from 2 to 3"),
        ({"widths": [2, 4]}, "widths: 4"),
        ({"widths": []}, "widths is empty"),
        ({"qubits": []}, "is empty"),
        ({"qubits": [0, 0]}, "twice"),
        ({"qubits": [0, 3]}, "qubits: 3 is no qubit of the backend; hand over numbers from 0 to 2"),
        ({"qubits": [0, 1], "widths": [3]}, "widths: 3"),
        ({"max_seconds": 0}, "max_seconds is 0"),
        ({"max_seconds": float("nan")}, "max_seconds is nan"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_job_is_begun(options: dict[str, Any], told: str) -> None:
    backend = KnownBackend(line_target(3))
    with pytest.raises(ValueError, match=told):
        quick(backend, **options)
    assert backend.jobs == 0


def test_something_else_is_no_backend() -> None:
    with pytest.raises(TypeError, match="a str is neither a backend of Qiskit"):
        profile_backend("ibm_fez")
