"""Price tables as files: what stands in them, and what is wrong with that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from quantum_monitor.alerts.rules import WrongValueError, nearest, short
from quantum_monitor.config import ConfigurationError
from quantum_monitor.config_file import Document, Place, read_file
from quantum_monitor.config_values import Reader, WrongEntriesError, flag, number, one_of, text, web_address
from quantum_monitor.costs.models import Free, GateShots, HardwareCredits, Model, TaskAndShot, Time
from quantum_monitor.costs.prices import Price

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0}
_FAILED = {"free": False, "billed": True}
_CURRENCY = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,15}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_BACKENDS_AT_MOST = 100
_IDENTIFIER_LENGTH = 256
_DEAREST = 1e9
_WRONG: Any = object()


def read_prices(folder_or_file: Path) -> list[Price]:
    """Read a price table, or all that are in a folder (``*.yaml`` and ``*.yml``, by name).

    Raises:
        ConfigurationError: what is wrong, all at once: file, line, entry and field, value, mend.
    """
    files = [folder_or_file]
    if folder_or_file.is_dir():
        files = sorted(file for file in folder_or_file.iterdir() if file.suffix in {".yaml", ".yml"})
        if not files:
            raise ConfigurationError([f"{folder_or_file}: is a folder without price tables; put a .yaml file there"])
    prices: list[Price] = []
    problems: list[str] = []
    for file in files:
        found, wrong = _read_table(file)
        prices.extend(found)
        problems.extend(wrong)
    if problems:
        raise ConfigurationError(problems)
    return prices


def _read_table(file: Path) -> tuple[list[Price], list[str]]:
    document = read_file(file)
    wrong: list[tuple[Place, str]] = []
    prices: list[Price] = []
    top = {key: value for key, value in document.values.items() if key != "prices"}
    wrong.extend(_unknown(top, ("prices", *_COMMON), ()))
    common = dict.fromkeys(_COMMON.keys() & top.keys(), _WRONG)  # what is wrong at the top is not missing below
    common.update(_checked({key: top[key] for key in _COMMON if key in top}, _COMMON, (), wrong))
    entries: Any = document.values.get("prices")
    if not document.problems and not (isinstance(entries, Mapping) and entries):
        mend = "write a mapping with an entry for each price; docs/costs.md has an example"
        wrong.append((("prices",), f"is missing; {mend}" if entries is None else f"{short(entries)}; {mend}"))
    taken: dict[str, str] = {}
    for name, entry in entries.items() if isinstance(entries, Mapping) else ():
        price = _price(name, entry, common, wrong)
        if price is not None:
            wrong.extend(_taken_twice(price, taken))
            prices.append(price)
    problems = [*document.problems, *((place, _line(document, place), sentence) for place, sentence in wrong)]
    return prices, [
        ": ".join(filter(None, (f"{file}, line {line}" if line else str(file), ".".join(place), sentence)))
        for place, line, sentence in sorted(problems, key=lambda problem: problem[1])
    ]


def _unknown(given: Mapping[str, object], known: tuple[str, ...], place: Place) -> Iterator[tuple[Place, str]]:
    for key in given:
        if key not in known:
            yield (*place, str(key)), f"there is no such field; {nearest(str(key), known)}"


def _line(document: Document, place: Place) -> int:
    """The line of a key, or of the nearest key around it that the document knows; 0 where there is none."""
    known = (document.lines.get(place[:depth]) for depth in range(len(place), 0, -1))
    return next((line for line in known if line), 0)


def _taken_twice(price: Price, taken: dict[str, str]) -> Iterator[tuple[Place, str]]:
    for identifier in (price.name, *price.backends):
        other = taken.setdefault(identifier, price.name)
        if other != price.name:
            yield ("prices", price.name, "backends"), f"{short(identifier)} has a price in {other}; leave one out"


def _price(name: str, entry: object, common: Mapping[str, Any], wrong: list[tuple[Place, str]]) -> Price | None:
    """An entry as a price; None where something is wrong with it, which is noted."""
    place, before = ("prices", name), len(wrong)
    if not isinstance(entry, Mapping):
        wrong.append((place, f"{short(entry)} is not a mapping; write model, backends and prices under it"))
        return None
    if _NAME.fullmatch(name) is None:
        wrong.append((place, "is no name; use small letters, digits, '-', '_' and '.', such as my-device"))
    try:
        make, of_model = _MODELS[_model_name(entry.get("model"))]
    except ValueError as error:
        wrong.append(((*place, "model"), str(error)))
        return None
    readers = {**_COMMON, "backends": _backends, "analog": flag, **of_model}
    wrong.extend(_unknown(entry, ("model", *readers), place))
    given = {key: value for key, value in entry.items() if key in readers}
    fields = {**common, **_checked(given, readers, place, wrong)}
    required = [key for key in ("provider", "currency", "date", "backends", *of_model) if key not in _OPTIONAL]
    wrong.extend(((*place, key), "is missing; give it here" + (" or at the top of the file" if key in _COMMON else ""))
                 for key in required if key not in fields and key not in given)  # fmt: skip
    if len(wrong) > before or not all(fields.get(key, _WRONG) is not _WRONG for key in required):
        return None
    return Price(
        name=name,
        provider=fields["provider"],
        backends=fields["backends"],
        model=make({key: fields[key] for key in of_model if key in fields}),
        currency=fields["currency"],
        source=fields.get("source"),
        on=fields["date"],
        failed=fields.get("failed"),
        analog=fields.get("analog", False),
    )


def _model_name(value: object) -> str:
    if value is None:
        raise WrongValueError(f"is missing; give one of {', '.join(_MODELS)}")
    return str(one_of(*_MODELS)(value))


def _checked(
    given: Mapping[str, object], readers: Mapping[str, Reader], place: Place, wrong: list[tuple[Place, str]]
) -> dict[str, Any]:
    checked = {}
    for key, value in given.items():
        try:
            checked[key] = readers[key](value)
        except WrongEntriesError as error:
            wrong.extend(((*place, key, *inner), sentence) for inner, sentence in error.entries)
        except ValueError as error:
            wrong.append(((*place, key), str(error)))
    return checked


# Fields


def _source(value: object) -> str:
    address = web_address(value)
    if not address.startswith("https://"):
        raise WrongValueError(f"{short(address)} is not an https address; give that of the page with the price")
    return address


def _date(value: object) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise WrongValueError(f"{short(value)} is no date; write the day on which the price was true, as 2026-01-31")
    if value > date.today() + timedelta(days=1):  # elsewhere it is tomorrow already
        raise WrongValueError(f"{value} is in the future; write the day on which the price was seen to be true")
    return value


def _currency(value: object) -> str:
    if not isinstance(value, str) or _CURRENCY.fullmatch(value) is None:
        raise WrongValueError(f"{short(value)} is no currency; write a short code, such as USD or HQC")
    return value


def _failed(value: object) -> bool:
    return _FAILED[one_of(*_FAILED)(value)]


def _backends(value: object) -> tuple[str, ...]:
    mend = 'give a list of names, in which * stands for anything: ["ibm_*"]'
    if not isinstance(value, list) or len(value) > _BACKENDS_AT_MOST:
        raise WrongValueError(f"{short(value)} is not a list of up to {_BACKENDS_AT_MOST}; {mend}")
    for identifier in value:
        if not isinstance(identifier, str) or not 0 < len(identifier.strip()) <= _IDENTIFIER_LENGTH:
            raise WrongValueError(f"{short(identifier)} is not a name; {mend}")
    return tuple(identifier.strip().lower() for identifier in value)


_COMMON: Mapping[str, Reader] = {
    "provider": text,
    "source": _source,
    "date": _date,
    "currency": _currency,
    "failed": _failed,
}
_AMOUNT = number(0.0, _DEAREST)
_OPTIONAL = frozenset({"minimum_seconds", "increment_seconds", "minimum", "minimum_without_mitigation", "per_credit"})
_MODELS: Mapping[str, tuple[Callable[[dict[str, Any]], Model], Mapping[str, Reader]]] = {
    TaskAndShot.name: (lambda fields: TaskAndShot(**fields), {"per_task": _AMOUNT, "per_shot": _AMOUNT}),
    Time.name: (
        lambda fields: Time(
            fields["price"] / _SECONDS[fields["unit"]],
            fields.get("minimum_seconds", 0.0),
            fields.get("increment_seconds", 0.0),
        ),
        {"price": _AMOUNT, "unit": one_of(*_SECONDS), "minimum_seconds": _AMOUNT, "increment_seconds": _AMOUNT},
    ),
    GateShots.name: (
        lambda fields: GateShots(**fields),
        {
            "per_one_qubit_gate": _AMOUNT,
            "per_two_qubit_gate": _AMOUNT,
            "minimum": _AMOUNT,
            "minimum_without_mitigation": _AMOUNT,
        },
    ),
    HardwareCredits.name: (lambda fields: HardwareCredits(**fields), {"per_credit": _AMOUNT}),
    Free.name: (lambda _: Free(), {}),
}
