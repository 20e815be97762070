"""Profiles in a run's store: written as an artifact, read back from whatever a directory holds; and in the metrics."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from quantum_monitor.faults import FAULTS
from quantum_monitor.hardware.profile import HardwareProfile, QubitReadout, Readout, Stated, Stopped, WidthResult
from quantum_monitor.store import artifacts
from quantum_monitor.store.copying import open_regular

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor

FILE = "profile.json"

_SCHEMA = 1
_SIZE_LIMIT = 8 * 2**20
_MOST_ENTRIES = 100_000
_TEXT_LENGTH = 1_000
_LARGEST = 2**53
_WIDEST = 64


def deliver(profile: HardwareProfile, monitor: QuantumMonitor) -> None:
    """Put a profile into the metrics of a monitor, and into its active run; without one it is not stored.

    What is measured is exported where there is a measurement, else what is stated; what is neither stays away.
    """
    from quantum_monitor.artifacts import Texts

    stated = profile.stated
    readout = profile.readout.error.value if profile.readout else stated.readout_error
    rates = {"1q": stated.one_qubit_error, "2q": stated.two_qubit_error, "readout": readout}
    monitor.log_backend_status(
        profile.backend,
        up=profile.readout is not None or bool(profile.widths) or profile.stopped != "backend failed",
        error_rates={name: rate for name, rate in rates.items() if rate is not None},
        qubits=profile.qubits,
        volume=profile.volume,
        t1=stated.t1,
        t2=stated.t2,
        calibration_time=stated.calibration_time,
    )
    run = monitor._run
    if run is not None:
        run.artifact_store().put("profile", profile.backend, Texts({FILE: to_json(profile)}))


def stored_profiles(run_directory: str | Path) -> list[HardwareProfile]:
    """The profiles that a run holds, oldest first.

    A file that is none, says what cannot be, or is too large is passed over and counted: a directory may come from
    anybody.

    Args:
        run_directory: the run's directory.
    """
    found = []
    for artifact in artifacts.read(run_directory):
        if artifact.kind != "profile":
            continue
        try:
            found.append(from_json(_content(artifact.path / FILE)))
        except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            FAULTS.rejected("artifacts", f"a profile of {run_directory} is passed over: {error!r:.300}")
    return found


def to_json(profile: HardwareProfile) -> str:
    """A profile as strict JSON, with the conclusions beside the counts that they are drawn from."""
    told = asdict(profile)
    told["versions"] = dict(profile.versions)
    told["volume"] = profile.volume
    for result, entry in zip(profile.widths, told["widths"], strict=True):
        entry |= {"mean": result.test.mean, "sigma": result.test.sigma, "verdict": result.verdict}
    return json.dumps({"schema": _SCHEMA, **told}, indent=1, allow_nan=False) + "\n"


def from_json(content: str) -> HardwareProfile:
    """The profile that `to_json` wrote. Conclusions are drawn anew from the counts, not believed.

    Raises:
        ValueError: no JSON, or a value that cannot be.
        TypeError: a value of another type.
        KeyError: a value is missing.
    """
    told = _mapping(json.loads(content))
    if told["schema"] != _SCHEMA:
        raise ValueError(f"schema {told['schema']!r:.20} is not {_SCHEMA}")
    if told["stopped"] not in get_args(Stopped):
        raise ValueError(f"stopped: {told['stopped']!r:.100}")
    return HardwareProfile(
        backend=_text(told["backend"]),
        framework=_text(told["framework"]),
        qubits=None if told["qubits"] is None else _count(told["qubits"], 1),
        basis_gates=tuple(map(_text, _list(told["basis_gates"]))),
        chosen_qubits=tuple(map(_text, _list(told["chosen_qubits"]))),
        compilation=_text(told["compilation"]),
        measured_at=_number(told["measured_at"]),
        seconds=_number(told["seconds"]),
        circuits=_count(told["circuits"], 1),
        shots=_count(told["shots"], 1),
        seed=_count(told["seed"]),
        stopped=told["stopped"],
        versions={_text(name): _text(version) for name, version in _mapping(told["versions"]).items()},
        widths=tuple(map(_width, _list(told["widths"]))),
        readout=None if told["readout"] is None else _readout(told["readout"]),
        stated=_stated(_mapping(told["stated"])),
        problems=tuple(map(_text, _list(told["problems"]))),
    )


def _width(given: Any) -> WidthResult:
    told = _mapping(given)
    heavy, shots = ([_count(number) for number in _list(told[name])] for name in ("heavy", "shots"))
    width = _count(told["width"], 2)
    if not heavy or len(heavy) != len(shots) or width > _WIDEST:
        raise ValueError(f"width {width}: {len(heavy)} circuits, shots of {len(shots)}")
    if any(not 0 < taken >= hits for hits, taken in zip(heavy, shots, strict=True)):
        raise ValueError(f"width {width}: more heavy outcomes than shots, or no shots")
    if not 0 <= (ideal := _number(told["ideal"])) <= 1:
        raise ValueError(f"width {width}: an ideal probability of {ideal:g}")
    return WidthResult(width, tuple(heavy), tuple(shots), ideal)


def _readout(given: Any) -> Readout:
    found = []
    for entry in map(_mapping, _list(_mapping(given)["qubits"])):
        zeros, ones = (_count(entry[name], 1) for name in ("zeros", "ones"))
        of_zero, of_one = (_count(entry[name]) for name in ("ones_of_zero", "zeros_of_one"))
        if of_zero > zeros or of_one > ones:
            raise ValueError(f"readout: {of_zero} of {zeros} and {of_one} of {ones} are wrong")
        found.append(QubitReadout(_text(entry["qubit"]), zeros, of_zero, ones, of_one))
    if not found:
        raise ValueError("readout: of no qubit")
    return Readout(tuple(found))


def _stated(told: Mapping[str, Any]) -> Stated:
    names = [field.name for field in fields(Stated)]
    stated = Stated(**{name: None if told[name] is None else _number(told[name]) for name in names})
    if any((getattr(stated, name) or 0) > 1 for name in names if name.endswith("error")):
        raise ValueError("stated: an error rate above 1")
    return stated


def _content(file: Path) -> str:
    with os.fdopen(open_regular(file, follow=False), "rb") as stream:
        content = stream.read(_SIZE_LIMIT + 1)
    if len(content) > _SIZE_LIMIT:
        raise ValueError(f"more than {_SIZE_LIMIT:,} bytes")
    return content.decode("utf-8")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.100} is no object")
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > _MOST_ENTRIES:
        raise TypeError(f"{value!r:.100} is no list, or too long a one")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is no text")
    return value[:_TEXT_LENGTH]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r:.100} is no finite number of at least 0")
    return float(value)


def _count(value: Any, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise ValueError(f"{value!r:.100} is no whole number from {least} on")
    return value
