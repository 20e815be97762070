"""The command ``quantum-monitor estimate``: what a circuit, or a training, will cost before it runs."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantum_monitor.cli_common import FAILED, MISUSED, Commands, FailureError, complain, shown, whole

if TYPE_CHECKING:
    from quantum_monitor.costs import Estimate, PriceTables

_BYTES_AT_MOST = 50_000_000
_GRADIENTS: dict[str, Callable[[int], int]] = {
    "parameter-shift": lambda parameters: 2 * parameters + 1,
    "spsa": lambda _: 3,
    "adjoint": lambda _: 1,
}
_COUNTS = ("gates", "two_qubit_gates", "qubits")


@dataclass(frozen=True)
class _Training:
    """Steps of a training, and the circuits that each takes."""

    steps: int
    circuits: int
    said: str


def add_command(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "estimate", help="say what a circuit or a training will cost, before it runs",
        description="Estimates from public prices, each with its source and date; no bill, and no network. Without "
        "--backend: all backends with a price that run gates, cheapest first. Gates are counted as they stand in the "
        "file: give the circuit as the backend executes it. The status is 1 if a --budget does not afford the steps "
        "on any of the backends that are told, else 0.",
    )  # fmt: skip
    parser.add_argument("circuit", type=Path, nargs="?", metavar="CIRCUIT", help="OpenQASM 2 or 3")
    parser.add_argument("--gates", type=whole(0), metavar="N", help="its gates, where there is no file")
    parser.add_argument("--two-qubit-gates", type=whole(0), metavar="N", help="those of them on two qubits")
    parser.add_argument("--qubits", type=whole(1), metavar="N", help="its qubits")
    parser.add_argument("--measurements", type=whole(0), metavar="N",
                        help="measurements and resets; each qubit once unless given")  # fmt: skip
    parser.add_argument("--backend", metavar="B", help="ARN, ibm_fez, ionq.qpu.aria-1, or an entry of the price tables")
    parser.add_argument("--shots", type=whole(1), metavar="N", help="shots of each execution")
    parser.add_argument("--seconds", type=_number, metavar="S",
                        help="that one execution takes, where time is billed; a session: that it is open")  # fmt: skip
    parser.add_argument("--no-error-mitigation", action="store_true", help="it is off, where the price asks for it")
    parser.add_argument("--steps", type=whole(1), default=1, metavar="N", help="training steps; 1 unless given")
    parser.add_argument("--gradient", choices=_GRADIENTS,
                        help="circuits a step, with that of the loss: parameter-shift 2P+1, spsa 3, adjoint 1; "
                        "1 unless given")  # fmt: skip
    parser.add_argument("--parameters", type=whole(1), metavar="P", help="parameters that are trained")
    parser.add_argument(
        "--budget", type=_number, metavar="X", help="also say how many steps it affords; status 1 if fewer than --steps"
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help="price tables of your own: a file or a folder")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text unless given")
    parser.set_defaults(run_command=_estimate)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def _estimate(arguments: argparse.Namespace) -> int:
    from quantum_monitor.costs.lookup import PriceTables

    counted = [name for name in _COUNTS if getattr(arguments, name) is not None]
    if arguments.circuit is not None and counted:
        complain(f"{arguments.circuit} says how many gates there are: leave out --{counted[0].replace('_', '-')}")
        return MISUSED
    if arguments.gradient == "parameter-shift" and arguments.parameters is None:
        complain("parameter-shift takes two circuits for each parameter: say how many with --parameters")
        return MISUSED
    tables = PriceTables(arguments.prices)
    fields = _fields(arguments)
    training = _training(arguments)
    if arguments.backend is None:
        told, lacking = _all(tables, fields, training)
    else:
        told, lacking = [_one(tables, arguments.backend, fields, training)], {}
    if arguments.format == "json":
        print(json.dumps(_as_json(told, lacking, training, arguments.budget), indent=2, ensure_ascii=True))
    elif arguments.backend is None:
        analog = [price.name for price in tables.prices if price.analog]
        _print_table(told, lacking, analog, training, arguments.budget)
    else:
        _print_one(told[0], arguments.backend, training, arguments.budget)
    enough = [steps is None or steps >= training.steps
              for steps in (_affordable(one, training, arguments.budget) for one in told)]  # fmt: skip
    return FAILED if enough and not any(enough) else 0


def _fields(arguments: argparse.Namespace) -> dict[str, float]:
    from quantum_monitor.costs.estimates import fields_of

    file: Path | None = arguments.circuit
    counts = {name: value for name in _COUNTS if (value := getattr(arguments, name)) is not None}
    pairs, gates = counts.get("two_qubit_gates", 0), counts.get("gates")
    if gates is not None and pairs > gates:
        raise FailureError(f"--two-qubit-gates {pairs} are more than --gates {gates}: they are among them")
    try:
        return fields_of(
            (counts or None) if file is None else _read(file),
            arguments.shots,
            seconds=arguments.seconds,
            measurements=arguments.measurements,
            error_mitigation=not arguments.no_error_mitigation,
        )
    except ValueError as error:
        raise FailureError(str(error) if file is None else f"{file}: {error}") from error


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(_BYTES_AT_MOST + 1)
    if len(content) > _BYTES_AT_MOST:
        raise FailureError(f"{file} has more than {_BYTES_AT_MOST:,} bytes; give --gates and --two-qubit-gates instead")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FailureError(f"{file} is not text; give a file of OpenQASM 2 or 3") from None


def _training(arguments: argparse.Namespace) -> _Training:
    if arguments.gradient is None:
        return _Training(arguments.steps, 1, "")
    circuits = _GRADIENTS[arguments.gradient](arguments.parameters or 0)
    parameters = "" if arguments.parameters is None else f", {arguments.parameters} parameters"
    return _Training(arguments.steps, circuits, f"{arguments.gradient}{parameters}")


def _one(tables: PriceTables, backend: str, fields: dict[str, float], training: _Training) -> Estimate:
    from quantum_monitor.costs.estimates import lacking, of_fields
    from quantum_monitor.costs.local import is_local
    from quantum_monitor.costs.lookup import meant

    price = tables.find(backend)
    if price is None and is_local(backend.strip().lower()):
        raise FailureError(f"{backend} is a simulator on your machine, which nobody bills")
    if price is None:
        raise FailureError(
            f"no price is known for {backend!r}{meant(tables.like(backend))}; leave out --backend to see what is "
            "known, or give a table of your own with --prices (docs/costs.md)"
        )
    if price.analog and "gates" in fields:
        raise FailureError(f"{backend} is an analog device, which runs no circuits of gates; give --shots alone")
    missing = lacking(price, fields)
    if missing:
        raise FailureError(
            f"the price {price.name} ({price.model.name}) takes {_options(missing)}: "
            f"add {'it' if len(missing) == 1 else 'them'} to the command"
        )
    return of_fields(price, fields, training.steps * training.circuits)


def _all(
    tables: PriceTables, fields: dict[str, float], training: _Training
) -> tuple[list[Estimate], dict[str, tuple[str, ...]]]:
    """An estimate for each price of gates, cheapest first in each currency; and what others lack."""
    from quantum_monitor.costs.estimates import lacking, of_fields

    told: list[Estimate] = []
    wanting: dict[str, tuple[str, ...]] = {}
    for price in tables.prices:
        if price.analog:
            continue
        missing = lacking(price, fields)
        if missing:
            wanting[price.name] = missing
        else:
            told.append(of_fields(price, fields, training.steps * training.circuits))
    return sorted(told, key=lambda known: (known.currency != "USD", known.currency, known.amount)), wanting


def _affordable(told: Estimate, training: _Training, budget: float | None) -> int | None:
    """How many steps a budget affords; None for any number, or without a budget."""
    a_step = told.each * training.circuits
    if budget is None or a_step == 0:
        return None
    steps = budget / a_step
    return round(steps) if math.isclose(steps, round(steps), rel_tol=1e-9) else math.floor(steps)


def _print_one(told: Estimate, backend: str, training: _Training, budget: float | None) -> None:
    print(shown(f"An estimate, not a bill: {backend} ({told.provider}, {told.entry}), priced by {told.model}."))
    for line in told.breakdown[: len(told.breakdown) - (told.executions != 1)]:
        print(f"  {line}")
    print(f"One execution  {_money(told.each)} {told.currency}")
    if told.executions != 1:
        said = f" ({training.said})" if training.said else ""
        print(f"Executions     {training.steps} steps x {training.circuits}{said} = {told.executions}")
        print(f"Total          {_money(told.amount)} {told.currency}")
    if budget is not None:
        steps = _affordable(told, training, budget)
        print(f"Budget         {_money(budget)} {told.currency} affords {_counted(steps, 'step')}")
    print(shown(f"Price          {told.source or 'a table of your own'}, as of {told.on}"))


def _print_table(
    told: list[Estimate],
    lacking: dict[str, tuple[str, ...]],
    analog: list[str],
    training: _Training,
    budget: float | None,
) -> None:
    print("Estimates, not bills, cheapest first; amounts of several currencies do not compare.")
    head = ("each", "total", "", "price", "by", "as of") + (("steps",) if budget is not None else ())
    rows = [
        (
            _money(one.each),
            _money(one.amount),
            one.currency,
            one.entry,
            one.model,
            str(one.on),
            *([_counted(_affordable(one, training, budget))] if budget is not None else []),
        )
        for one in told
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if place in {0, 1, 6} else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print(shown("  ".join(cells).rstrip()))
    for name, missing in lacking.items():
        print(shown(f"not told: {name}, which takes {_options(missing)}"))
    if analog:
        print(shown(f"left out: {', '.join(analog)}: analog devices, which run no circuits of gates"))


def _as_json(
    told: list[Estimate], lacking: dict[str, tuple[str, ...]], training: _Training, budget: float | None
) -> dict[str, Any]:
    return {
        "kind": "estimated",
        "steps": training.steps,
        "circuits_a_step": training.circuits,
        "estimates": [
            {
                "entry": one.entry,
                "provider": one.provider,
                "model": one.model,
                "currency": one.currency,
                "each": one.each,
                "executions": one.executions,
                "amount": one.amount,
                "breakdown": list(one.breakdown),
                "source": one.source,
                "date": one.on.isoformat(),
                "steps_within_budget": _affordable(one, training, budget),
            }
            for one in told
        ],
        "not_told": {name: list(missing) for name, missing in lacking.items()},
    }


def _options(fields: tuple[str, ...]) -> str:
    return ", ".join(f"--{field.replace('_', '-')}" for field in fields)


def _counted(steps: int | None, what: str = "") -> str:
    if steps is None:
        return f"any number of {what}s" if what else "any"
    return f"{steps} {what}{'s' * (steps != 1)}" if what else str(steps)


def _money(amount: float) -> str:
    """Two digits after the point, and four that count where it is less than one."""
    return f"{amount:.2f}" if amount >= 1 or amount == 0 else f"{amount:.4g}"
