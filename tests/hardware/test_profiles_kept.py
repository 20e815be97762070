"""Profiles in metrics, stores, tables and figures; and read back from directories that came from anybody."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from qiskit.providers.basic_provider import BasicSimulator

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.hardware import (
    HardwareProfile,
    heavy_output_figure,
    profile_backend,
    profile_rows,
    stored_profiles,
)
from quantum_monitor.hardware.profile import QubitReadout, Readout, Stated, WidthResult, wilson
from quantum_monitor.hardware.stored import FILE, from_json, to_json
from quantum_monitor.store import artifacts
from quantum_monitor.store.artifact_writer import ArtifactStore
from quantum_monitor.trackers.mlflow_artifacts import Places
from tests.hardware.known_backends import KnownBackend, line_target

HOSTILE = "<img src=x onerror=alert(1)>%{x}$a$"
PROFILE = HardwareProfile(
    backend="ibm_fez",
    framework="qiskit",
    qubits=156,
    basis_gates=("cz", "sx"),
    chosen_qubits=(),
    compilation="qiskit transpiler, optimization level 3",
    measured_at=1.8e9,
    seconds=12.5,
    circuits=100,
    shots=10,
    seed=7,
    stopped="width failed",
    versions={"qiskit": "2.6.2"},
    widths=(WidthResult(2, (9,) * 100, (10,) * 100, 0.79), WidthResult(3, (8, 4) * 50, (10,) * 100, 0.85)),
    readout=Readout((QubitReadout("0", 100, 2, 100, 6), QubitReadout("1", 100, 0, 100, 0))),
    stated=Stated(two_qubit_error=0.004, t1=2e-4, calibration_time=1.79e9),
)


def quick(backend: Any, **options: Any) -> HardwareProfile:
    return profile_backend(backend, **{"widths": [2], "circuits": 5, "shots": 50, "progress": str, **options})


def backend_with_everything() -> KnownBackend:
    target = line_target(3, readout=[0.01, 0.02, 0.09], t1=[1e-4, 2e-4, 3e-4], two_qubit=[0.01, 0.02])
    return KnownBackend(target, name="fez", flips=[(0.0, 1.0)] * 3)


# Metrics and store


def test_a_profile_is_in_the_metrics_and_in_the_run(new_monitor: Callable[..., QuantumMonitor]) -> None:
    registry = CollectorRegistry()
    monitor = new_monitor(registry=registry)
    with monitor.start_run("first"):
        measured = quick(KnownBackend(line_target(3), name="clean"), circuits=100)
        profile = quick(backend_with_everything(), monitor=monitor)
        assert monitor.run_path is not None
    assert stored_profiles(monitor.run_path) == [measured, profile]
    assert (monitor.run_path / "artifacts/profiles/fez/1" / FILE).is_file()

    told = monitor.hardware_status()["fez"]
    assert told["error_rates"] == {"1q": 0.002, "2q": 0.015, "readout": 0.5}  # measured, not the stated 0.02
    assert (told["up"], told["qubits"], told["t1"], told["t2"]) == (1.0, 3.0, 2e-4, 2e-4)
    assert "volume" not in told
    assert monitor.hardware_status()["clean"]["volume"] == 4
    exposed = generate_latest(registry).decode()
    assert 'backend="clean"} 4.0' in next(line for line in exposed.splitlines() if "volume{" in line)
    # measuring a backend is no work of the run's
    assert not [line for line in exposed.splitlines() if line.startswith("quantum_circuit_executions_total{")]


def test_the_monitor_whose_run_is_active_is_told(new_monitor: Callable[..., QuantumMonitor]) -> None:
    idle, active = new_monitor("idle"), new_monitor("active")
    with active.start_run("now"):
        quick(BasicSimulator())
    assert "basic_simulator" in active.hardware_status()
    assert idle.hardware_status() == {}
    assert active.run_path is not None
    assert len(stored_profiles(active.run_path)) == 1


def test_without_a_run_the_metrics_are_told_and_nothing_is_begun(new_monitor: Callable[..., QuantumMonitor]) -> None:
    monitor = new_monitor()
    quick(BasicSimulator(), monitor=monitor)
    assert monitor.hardware_status()["basic_simulator"]["up"] == 1.0
    assert not monitor.is_running
    assert quick(BasicSimulator()).widths  # nor is a monitor needed


def test_a_backend_that_does_not_answer_is_down(new_monitor: Callable[..., QuantumMonitor]) -> None:
    monitor = new_monitor()
    quick(KnownBackend(line_target(2), name="cold", fails_from=0), monitor=monitor)
    told = monitor.hardware_status()["cold"]
    assert told["up"] == 0.0
    assert told["error_rates"] == {}


def test_a_profile_has_a_folder_of_its_own_in_mlflow(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts/profiles/fez/1"
    made = artifacts.Artifact(1, "profile", "fez", folder, 0.0, {})
    places = Places()
    assert (places.of(made), places.of(made._replace(number=5))) == ("profiles/fez", "profiles/fez~5")


# Reading what anybody may have written


def run_with(tmp_path: Path, *contents: str) -> Path:
    """A directory with a profile of each content, listed as a run lists them."""

    class Raw:
        size = 0

        def __init__(self, content: str) -> None:
            self._content = content

        def write(self, folder: Path, version: int) -> Any:
            (folder / FILE).write_bytes(self._content.encode("utf-8", "surrogatepass"))
            return type("Written", (), {"file": "", "metadata": {"version": version}})()

        def discard(self) -> None: ...

    (tmp_path / "artifacts").mkdir(exist_ok=True)
    store = ArtifactStore(tmp_path)
    for content in contents:
        store.put("profile", "fez", Raw(content))
    assert store.finish()
    return tmp_path


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(to_json(PROFILE)), **values})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    hostile = replace(PROFILE, backend=HOSTILE, problems=("\ud800 =cmd()",))
    assert stored_profiles(run_with(tmp_path, to_json(PROFILE), to_json(hostile))) == [PROFILE, hostile]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "\ud800",
        "[" * 100_000,
        "{}",
        changed(schema=2),
        changed(backend=5),
        changed(backend=None),
        changed(qubits=-1),
        changed(qubits=1e400),
        changed(seconds=float("nan")),
        changed(seconds=float("inf")),
        changed(measured_at="now"),
        changed(shots=True),
        changed(seed=2**80),
        changed(stopped="bored"),
        changed(stopped=["width failed"]),
        changed(widths={}),
        changed(widths=[{"width": 2, "heavy": [], "shots": []}]),
        changed(widths=[{"width": 2, "heavy": [11], "shots": [10]}]),
        changed(widths=[{"width": 2, "heavy": [0], "shots": [0]}]),
        changed(widths=[{"width": 2, "heavy": [1, 2], "shots": [10]}]),
        changed(widths=[{"width": 10**9, "heavy": [1], "shots": [10]}]),
        changed(widths=[{"width": 2, "heavy": [0] * 100_001, "shots": [1] * 100_001}]),
        changed(readout={"qubits": []}),
        changed(readout={"qubits": [{"qubit": "0", "zeros": 1, "ones": 1, "ones_of_zero": 2, "zeros_of_one": 0}]}),
        changed(stated={}),
        changed(stated={field.name: 2.0 for field in fields(Stated)}),
        changed(versions=[]),
        changed(problems="all"),
        changed(backend="x" * 9_000_000),
    ],
    ids=lambda content: content[:20].replace("\n", " ").encode("ascii", "replace").decode(),
)
def test_a_file_that_is_no_profile_is_passed_over_and_counted(tmp_path: Path, content: str) -> None:
    before = FAULTS.errors["artifacts"]
    assert stored_profiles(run_with(tmp_path, content, to_json(PROFILE))) == [PROFILE]
    assert FAULTS.errors["artifacts"] == before + 1


def test_a_directory_without_profiles_has_none(tmp_path: Path) -> None:
    assert stored_profiles(tmp_path) == []
    assert stored_profiles(tmp_path / "nowhere") == []


def test_a_link_in_the_place_of_a_profile_is_not_followed(tmp_path: Path) -> None:
    run = run_with(tmp_path, to_json(PROFILE))
    file = run / "artifacts/profiles/fez/1" / FILE
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    assert stored_profiles(run) == []


def test_a_verdict_is_drawn_from_the_counts_and_not_believed() -> None:
    told = json.loads(to_json(PROFILE))
    assert (told["volume"], told["widths"][1]["verdict"]) == (4, "failed")
    told["volume"] = 2**20
    told["widths"][1]["verdict"] = "passed"
    assert from_json(json.dumps(told)).volume == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.sampled_from(sorted(json.loads(to_json(PROFILE)))), JSON)
def test_any_value_in_the_place_of_another_is_read_or_refused(key: str, value: Any) -> None:
    try:
        profile = from_json(changed(**{key: value}))
    except (ValueError, TypeError, KeyError):
        return
    assert profile_rows(profile)
    assert profile.notes
    assert from_json(to_json(profile)) == profile


# Mathematics


@given(st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_an_interval_holds_its_value_and_is_never_a_point(counted: tuple[int, int]) -> None:
    count, total = counted
    value, low, high = wilson(count, total)
    assert 0 <= low <= value <= high <= 1
    assert high > low
    z = 1.959963984540054  # E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)
    middle = (value + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(value * (1 - value) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-9)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=150))
def test_a_width_passes_by_two_sigma_of_a_hundred_circuits(heavy: list[int]) -> None:
    result = WidthResult(4, tuple(heavy), (50,) * len(heavy), 0.84)
    mean = sum(heavy) / (50 * len(heavy))
    above = mean - 2 * math.sqrt(mean * (1 - mean) / len(heavy)) > 2 / 3
    assert result.verdict == ("too few circuits" if len(heavy) < 100 else "passed" if above else "failed")
    volume = replace(PROFILE, widths=(result,)).volume
    assert volume == (16 if above and len(heavy) >= 100 else None)


# Table and figure


def test_rows_say_what_is_measured_and_what_is_stated() -> None:
    rows = {row.quantity: row for row in profile_rows(PROFILE)}
    assert rows["Quantum volume"][1:] == (4, "", "measured", "width 2 passed with two sigma")
    assert rows["Heavy outputs, width 3"].value == pytest.approx(0.6)
    assert rows["Heavy outputs, width 3"].confidence.endswith("100 circuits, 0.8500 without errors: failed")
    assert rows["Readout error, mean over 2 qubits"].value == pytest.approx(0.02)
    assert rows["Readout error, mean over 2 qubits"].confidence.startswith("95 %: 0.01")
    assert rows["Two-qubit error, median"][1:4] == (0.004, "", "stated")
    assert rows["T1, median"][1:4] == (2e-4, "s", "stated")
    assert rows["Calibrated"].value == "2026-09-21 14:13 UTC"
    assert not {"T2, median", "One-qubit error, median", "Readout error, median"} & set(rows)  # absent, not 0


def test_a_profile_without_measurements_has_rows_of_what_is_stated_and_how_it_ended() -> None:
    rows = profile_rows(replace(PROFILE, widths=(), readout=None, stated=Stated(calibration_time=1e300)))
    assert [row.quantity for row in rows] == ["Ended", "Qubits", "Calibrated"]
    assert {row.source for row in rows[1:]} == {"stated"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_shows_every_circuit_the_mean_and_the_line(theme: Any) -> None:
    figure = heavy_output_figure(PROFILE, theme)
    assert figure is not None
    assert figure.layout.height == 420  # boxes give a figure without a height less
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["one circuit"].x) == [2] * 100 + [3] * 100
    assert list(traces["one circuit"].y) == [0.9] * 100 + [0.8, 0.4] * 50
    assert list(traces["mean, two sigma"].y) == pytest.approx([0.9, 0.6])
    assert list(traces["mean, two sigma"].error_y.array) == pytest.approx([0.06, 2 * math.sqrt(0.24 / 100)])
    assert list(traces["2/3"].y) == [2 / 3, 2 / 3]
    assert list(figure.layout.xaxis.ticktext) == ["2<br>passed", "3<br>failed"]
    low, high = figure.layout.yaxis.range
    assert low < 0.4
    assert high > 0.96


def test_the_figure_says_where_circuits_are_too_few_and_shows_names_as_text() -> None:
    few = replace(PROFILE, backend=HOSTILE, widths=(WidthResult(2, (9,) * 40, (10,) * 40, 0.79),))
    figure = heavy_output_figure(few)
    assert figure is not None
    assert "Quantum volume: not measured" in figure.layout.title.text
    assert "&lt;img src=x onerror=alert(1)&gt;%{x}&#36;a&#36;" in figure.layout.title.text
    assert "<img" not in figure.to_json()
    assert list(figure.layout.xaxis.ticktext) == ["2<br>40 circuits,<br>too few"]


def test_nothing_measured_is_no_figure() -> None:
    assert heavy_output_figure(replace(PROFILE, widths=())) is None
