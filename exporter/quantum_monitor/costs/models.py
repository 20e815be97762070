"""The four ways in which providers reckon what an execution costs, and the one in which it costs nothing.

Each model takes the fields of one execution, as `Run.execution` gets them, and gives an amount in its currency, or
None where a field that it needs is not known. Pure functions of numbers: no rounding, no currency.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Fields = Mapping[str, float]

_HQC_BASE, _HQC_DIVISOR = 5.0, 5_000.0
_HQC_TWO_QUBIT, _HQC_MEASUREMENT = 10.0, 5.0


class Model(Protocol):
    """How an execution is priced."""

    @property
    def name(self) -> str:
        """What the model is called in price tables."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields without which there is no amount."""

    def amount(self, fields: Fields) -> float | None:
        """What an execution costs; None where a field that it takes is not known."""

    def amount_of_failed(self, fields: Fields) -> float | None:
        """The same for a failed or cancelled one, with a provider that bills those."""

    def breakdown(self, fields: Fields) -> list[str]:
        """How the amount comes about, a line a part; the fields are all there."""


@dataclass(frozen=True)
class TaskAndShot:
    """A fee for each task and one for each shot.

    Attributes:
        per_task: for each task, whatever it does.
        per_shot: for each shot of it.
    """

    per_task: float
    per_shot: float

    name = "task_and_shot"
    needs = ("shots",)

    def amount(self, fields: Fields) -> float | None:
        """per_task + per_shot x shots; nothing in a reservation, which is billed by itself."""
        if fields.get("reserved"):
            return 0.0
        shots = fields.get("shots")
        return None if shots is None else self.per_task + self.per_shot * shots

    amount_of_failed = amount

    def breakdown(self, fields: Fields) -> list[str]:
        """Task and shots."""
        shots = fields["shots"]
        return [f"{self.per_task:g} for the task", f"{shots:g} shots x {self.per_shot:g} = {self.per_shot * shots:g}"]


@dataclass(frozen=True)
class Time:
    """A price for each second that the provider bills.

    Attributes:
        per_second: price of a second.
        minimum: seconds that are billed at least.
        increment: billed seconds are a multiple of this; 0 where they are not rounded up.
    """

    per_second: float
    minimum: float = 0.0
    increment: float = 0.0

    name = "time"
    needs = ("seconds",)

    def amount(self, fields: Fields) -> float | None:
        """per_second x seconds: those that the provider says it bills, else those that the execution took."""
        seconds = fields.get("billed_time")
        if seconds is None:
            seconds = fields.get("execution_time")
            if seconds is None:
                return None
        return 0.0 if fields.get("reserved") else self.per_second * self._billed(seconds)

    def amount_of_failed(self, fields: Fields) -> float | None:
        """Only by what the provider says it bills: how long the program waited for the failure is another matter."""
        seconds = fields.get("billed_time")
        return None if seconds is None else self.per_second * self._billed(seconds)

    def _billed(self, seconds: float) -> float:
        if self.increment:
            steps = seconds / self.increment
            whole = round(steps)  # 0.07 / 0.01 is a little more than 7, and no eighth increment has begun
            seconds = self.increment * (whole if math.isclose(steps, whole, rel_tol=1e-9) else math.ceil(steps))
        return max(seconds, self.minimum)

    def breakdown(self, fields: Fields) -> list[str]:
        """Seconds, and what was added to them."""
        seconds = fields["billed_time"] if "billed_time" in fields else fields["execution_time"]
        billed = self._billed(seconds)
        lines = [] if billed == seconds else [f"{seconds:g} s are billed as {billed:g} s"]
        return [*lines, f"{billed:g} s x {self.per_second:g} = {billed * self.per_second:g}"]


@dataclass(frozen=True)
class GateShots:
    """A price for each gate in each shot, by the number of its qubits, and a minimum for the program.

    Attributes:
        per_one_qubit_gate: for each gate on one qubit in each shot.
        per_two_qubit_gate: for each gate on two.
        minimum: a program costs this at least.
        minimum_without_mitigation: the same where error mitigation is off (field ``error_mitigation`` is 0).
    """

    per_one_qubit_gate: float
    per_two_qubit_gate: float
    minimum: float = 0.0
    minimum_without_mitigation: float | None = None

    name = "gate_shots"
    needs = ("shots", "gates", "two_qubit_gates")

    def amount(self, fields: Fields) -> float | None:
        """The larger of the minimum and shots x (gates on one qubit x price + gates on two x price)."""
        shots, gates, pairs = fields.get("shots"), fields.get("gates"), fields.get("two_qubit_gates")
        if shots is None or gates is None or pairs is None:
            return None
        each = self.per_one_qubit_gate * (gates - pairs) + self.per_two_qubit_gate * pairs
        return max(self._minimum(fields), shots * each)

    amount_of_failed = amount

    def _minimum(self, fields: Fields) -> float:
        without = self.minimum_without_mitigation
        return self.minimum if without is None or fields.get("error_mitigation", 1.0) else without

    def breakdown(self, fields: Fields) -> list[str]:
        """Gate-shots of either kind, and the minimum."""
        shots, pairs = fields["shots"], fields["two_qubit_gates"]
        singles = fields["gates"] - pairs
        parts = ((singles, 1, self.per_one_qubit_gate), (pairs, 2, self.per_two_qubit_gate))
        lines = [
            f"{count:g} gates on {qubits} qubit{'s' * (qubits > 1)} x {shots:g} shots x {price:g} = "
            f"{count * shots * price:g}"
            for count, qubits, price in parts
        ]
        minimum = self._minimum(fields)
        return [*lines, f"{minimum:g} at least for a program"] if minimum else lines


@dataclass(frozen=True)
class HardwareCredits:
    """Quantinuum's credits: ``HQC = 5 + shots (N1 + 10 N2 + 5 Nm) / 5000``.

    N1 and N2 are gates on one and on two qubits, Nm measurements and resets (field ``measurements``; each qubit once
    unless given). Source: https://learn.microsoft.com/azure/quantum/pricing, section Quantinuum.

    Attributes:
        per_credit: what a credit costs; 1 where the currency is the credit itself.
    """

    per_credit: float = 1.0

    name = "hqc"
    needs = ("shots", "gates", "two_qubit_gates", "qubits")

    def amount(self, fields: Fields) -> float | None:
        """The credits, by the price of one."""
        hqc = self._credits(fields)
        return None if hqc is None else self.per_credit * hqc

    amount_of_failed = amount

    def _credits(self, fields: Fields) -> float | None:
        shots, gates, pairs = fields.get("shots"), fields.get("gates"), fields.get("two_qubit_gates")
        measurements = fields.get("measurements", fields.get("qubits"))
        if shots is None or gates is None or pairs is None or measurements is None:
            return None
        weight = gates - pairs + _HQC_TWO_QUBIT * pairs + _HQC_MEASUREMENT * measurements
        return _HQC_BASE + shots * weight / _HQC_DIVISOR

    def breakdown(self, fields: Fields) -> list[str]:
        """The formula with its numbers, and the price of a credit."""
        shots, pairs = fields["shots"], fields["two_qubit_gates"]
        measurements = fields.get("measurements", fields.get("qubits"))
        hqc = self._credits(fields)
        formula = f"5 + {shots:g} x ({fields['gates'] - pairs:g} + 10 x {pairs:g} + 5 x {measurements:g}) / 5000"
        lines = [f"HQC = {formula} = {hqc:g}"]
        return lines if self.per_credit == 1.0 else [*lines, f"{hqc:g} HQC x {self.per_credit:g}"]


@dataclass(frozen=True)
class Free:
    """Costs nothing, and is known to."""

    name = "free"
    needs = ()

    def amount(self, fields: Fields) -> float:  # noqa: ARG002 - as every model
        """Nothing."""
        return 0.0

    amount_of_failed = amount

    def breakdown(self, fields: Fields) -> list[str]:  # noqa: ARG002 - as every model
        """One line."""
        return ["free of charge"]
