"""A profile as rows of a table: what, how much, measured or stated, and how sure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Literal, NamedTuple

from quantum_monitor.hardware.profile import HardwareProfile, Interval, WidthResult
from quantum_monitor.physics.volume import LEAST_CIRCUITS


class ProfileRow(NamedTuple):
    """One quantity.

    Attributes:
        quantity: what it is.
        value: a number, or text.
        unit: of the number; empty for counts and ratios.
        source: ``measured`` here, or ``stated`` by the vendor or a noise model.
        confidence: an interval, a bound, a verdict, or what limits the measurement; empty for what is stated.
    """

    quantity: str
    value: str | float | int
    unit: str
    source: Literal["measured", "stated"]
    confidence: str


def profile_rows(profile: HardwareProfile) -> list[ProfileRow]:
    """The quantities of a profile; what is neither measured nor stated has no row. Texts are raw: escape them."""
    return [*_measured(profile), *_stated(profile)]


def _measured(profile: HardwareProfile) -> Iterator[ProfileRow]:
    if profile.volume is not None:
        yield ProfileRow("Quantum volume", profile.volume, "", "measured", _how_sure(profile))
    for result in profile.widths:
        yield ProfileRow(f"Heavy outputs, width {result.width}", result.test.mean, "", "measured", _bound(result))
    if profile.readout is not None:
        count = len(profile.readout.qubits)
        over = "1 qubit" if count == 1 else f"mean over {count} qubits"
        for name, interval in {
            f"Readout error, {over}": profile.readout.error,
            "Reads 1 where 0 was prepared": profile.readout.given_zero,
            "Reads 0 where 1 was prepared": profile.readout.given_one,
        }.items():
            yield ProfileRow(name, interval.value, "", "measured", _interval(interval))
    yield ProfileRow("Ended", profile.stopped, "", "measured", " ".join(profile.notes))


def _stated(profile: HardwareProfile) -> Iterator[ProfileRow]:
    stated = profile.stated
    for name, value, unit in (
        ("Readout error, median", stated.readout_error, ""),
        ("One-qubit error, median", stated.one_qubit_error, ""),
        ("Two-qubit error, median", stated.two_qubit_error, ""),
        ("T1, median", stated.t1, "s"),
        ("T2, median", stated.t2, "s"),
        ("Qubits", profile.qubits, ""),
    ):
        if value is not None:
            yield ProfileRow(name, value, unit, "stated", "")
    if stated.calibration_time is not None:
        yield ProfileRow("Calibrated", moment(stated.calibration_time), "", "stated", "")


def moment(seconds: float) -> str:
    """A Unix time as text in UTC, to the minute; of one that no calendar has, the number."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g} s"


def _how_sure(profile: HardwareProfile) -> str:
    passed = [result for result in profile.widths if result.verdict == "passed"]
    if not passed:
        return "width 2 failed"
    return f"width {passed[-1].width} passed with two sigma"


def _bound(result: WidthResult) -> str:
    test = result.test
    circuits = f"{test.circuits} circuits, {result.ideal:.4f} without errors"
    told = f"at least {test.lower_bound:.4f} (two sigma), {circuits}: {result.verdict}"
    return told if test.circuits >= LEAST_CIRCUITS else f"{told} for a verdict"


def _interval(interval: Interval) -> str:
    return f"95 %: {interval.low:.2g} to {interval.high:.2g}"
