"""What executions will cost, before there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from quantum_monitor.costs.lookup import PriceTables, meant, tables_of
from quantum_monitor.costs.prices import Price
from quantum_monitor.physics.circuits import CircuitLike, circuit_facts

_KEYWORDS = frozenset({"shots", "seconds"})


@dataclass(frozen=True)
class Estimate:
    """What executions will cost, by a public price. No bill: taxes, discounts and credits are not in it.

    Attributes:
        amount: of all executions, in the currency.
        currency: an ISO code, or a provider's own credit.
        model: how it is priced: ``task_and_shot``, ``time``, ``gate_shots``, ``hqc`` or ``free``.
        breakdown: how the amount comes about, a line a part.
        source: the page with the price; None in a table of one's own.
        on: the day on which the price was true.
        entry: the entry of the price tables.
        provider: who sends the bill.
        executions: how many.
        each: amount of one execution.
    """

    amount: float
    currency: str
    model: str
    breakdown: tuple[str, ...]
    source: str | None
    on: date
    entry: str
    provider: str
    executions: int
    each: float


def estimate(
    circuit: CircuitLike,
    backend: str,
    shots: int,
    *,
    executions: int = 1,
    seconds: float | None = None,
    measurements: int | None = None,
    error_mitigation: bool = True,
    tables: PriceTables | Path | None = None,
) -> Estimate:
    """What executions of a circuit will cost on a backend.

    Args:
        circuit: whatever `circuit_facts` takes: a circuit, OpenQASM, a description, facts; as the backend executes it,
            for gates are counted as they are; None where the price asks for no gates.
        backend: what it is called, or the name of an entry of the price tables.
        shots: of each execution.
        executions: how many of the kind.
        seconds: that one execution takes, where time is billed; of a session, all that it is open for.
        measurements: and resets of the circuit; each qubit once unless given.
        error_mitigation: whether it is on, where the price asks for it.
        tables: the prices, or the file or folder of one's own; those that come with this package unless given.

    Raises:
        ValueError: no price is known, or something that it takes; which, and how to give it.

    Example:
        >>> bell = [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}]
        >>> estimate(bell, "Garnet", shots=1000).amount
        1.75
    """
    known = tables_of(tables)
    price = known.find(backend)
    if price is None:
        raise ValueError(
            f"backend: no price is known for {str(backend)[:128]!r}"
            f"{meant(known.like(backend))}; `quantum-monitor estimate` without a backend "
            "lists what is known, and a price table of your own adds to it (docs/costs.md)"
        )
    _check("executions", executions, whole=True)
    fields = fields_of(circuit, shots, seconds=seconds, measurements=measurements, error_mitigation=error_mitigation)
    return of_fields(price, fields, executions)


def fields_of(
    circuit: CircuitLike,
    shots: int | None,
    *,
    seconds: float | None = None,
    measurements: int | None = None,
    error_mitigation: bool = True,
) -> dict[str, float]:
    """The fields of an execution that is yet to come, as far as they are known.

    Raises:
        ValueError: what is wrong with a value, or with the circuit.
    """
    fields: dict[str, float] = {"error_mitigation": float(error_mitigation)}
    if shots is not None:
        _check("shots", shots, whole=True)
        fields["shots"] = float(shots)
    if circuit is not None:
        facts = circuit_facts(circuit)
        known = {name: getattr(facts, name) for name in ("gates", "two_qubit_gates", "qubits")}
        fields.update({name: float(value) for name, value in known.items() if value is not None})
    if measurements is not None:
        _check("measurements", measurements, whole=True)
        fields["measurements"] = float(measurements)
    if seconds is not None:
        _check("seconds", seconds)
        fields["billed_time"] = float(seconds)
    return fields


def lacking(price: Price, fields: Mapping[str, float]) -> tuple[str, ...]:
    """What a price takes that is not known of an execution: ``seconds`` stands for either time."""
    if price.amount(fields) is not None:
        return ()
    given = {*fields, "qubits"} if "measurements" in fields else set(fields)
    return tuple(name for name in price.model.needs if name not in given)


def of_fields(price: Price, fields: Mapping[str, float], executions: int) -> Estimate:
    """What executions with these fields will cost by a price.

    Raises:
        ValueError: a field that the price takes is missing; names it and says how to give it.
    """
    each = price.amount(fields)
    if each is None:
        missing = lacking(price, fields)
        them = "it" if len(missing) == 1 else "them"
        mends = dict.fromkeys(f"{name}=" if name in _KEYWORDS else "a circuit" for name in missing)
        raise ValueError(
            f"{', '.join(missing)}: not known, and the price {price.name} ({price.model.name}) takes {them}; "
            f"give {' and '.join(mends)}"
        )
    lines = price.model.breakdown(fields)
    if executions != 1:
        lines.append(f"{executions} executions x {each:g}")
    return Estimate(
        amount=each * executions,
        currency=price.currency,
        model=price.model.name,
        breakdown=tuple(lines),
        source=price.source,
        on=price.on,
        entry=price.name,
        provider=price.provider,
        executions=executions,
        each=each,
    )


def _check(name: str, value: object, *, whole: bool = False) -> None:
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}; give a {'whole ' * whole}number of 0 or more")
