"""From what a caller hands over to fields of a record: conversion, names, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import numpy as np

from quantum_monitor import plugins
from quantum_monitor.facts import facts_of
from quantum_monitor.faults import FAULTS
from quantum_monitor.names import LABEL_LENGTH, label_value, text
from quantum_monitor.physics.gradients import component_statistics
from quantum_monitor.prometheus import catalog
from quantum_monitor.run import Run
from quantum_monitor.tensors import STEP_LIMIT, to_float, to_reals
from quantum_monitor.training import Vector

T = TypeVar("T")

_STATUSES = {
    **{status: status for status in catalog.EXECUTION_STATUSES},
    **dict.fromkeys(("ok", "done", "completed", "succeeded"), "success"),
    **dict.fromkeys(("error", "failure"), "failed"),
    "canceled": "cancelled",
}


def usable(convert: Callable[[Any, str], T], value: Any, name: str) -> T | None:
    """The converted value, or None where there is none or it cannot be used, which is counted."""
    if value is None:
        return None
    try:
        return convert(value, name)
    except Exception as error:  # noqa: BLE001 - a foreign object may raise anything when it is read
        FAULTS.rejected(name, error)
        return None


def entries(values: Any, name: str) -> list[tuple[str, Any]]:
    """The entries of a mapping, with their names as text.

    Raises:
        ValueError: no mapping. What the mapping itself raises goes through.
    """
    if not isinstance(values, Mapping):
        message = f"{name} is {type(values).__name__}: hand over a mapping of names to values"
        raise ValueError(message)  # noqa: TRY004 - bad input is one kind of error here, which the log call counts
    return [(text(key), value) for key, value in values.items()]


def metrics(run: Run, values: Any, step: int | None, *, is_step: bool) -> None:
    """Log values by name: those the catalog knows into their own metric, the others as custom ones.

    Args:
        run: the run they belong to.
        values: name to number or array.
        step: their training step.
        is_step: whether a loss with a step counts as a training step.
    """
    known = catalog.settable()
    by_kind: dict[str, dict[str, float]] = {}
    for key, value in usable(entries, values, "metrics") or ():
        name = label_value(key)
        metric = known.get(name)
        for field, number in _numbers(metric.field if metric and metric.field else name, value).items():
            kind = metric.kind if metric and metric.kind and field == metric.field else "custom"
            by_kind.setdefault(kind, {})[field] = number
    for kind, fields in by_kind.items():
        if kind == "custom":
            run.custom_values(step, fields)
        elif kind == "circuit":
            run.circuit_values("unknown", step, fields)
        else:
            run.values(kind, step, fields, is_step=is_step and step is not None and "loss" in fields)


def _numbers(name: str, value: Any) -> dict[str, float]:
    """A scalar under its name; an array as its statistics. What is not a number is counted and left out."""
    if type(value) is float:
        return {name: value}
    if value is None:
        FAULTS.rejected("metrics", f"{name} is None: leave out what was not measured")
    vector = usable(lambda numbers, _: to_reals(numbers, name), value, "metrics")
    if vector is None:
        return {}
    if len(vector) == 1:
        return {name: float(vector[0])}
    name = name[: LABEL_LENGTH - len("_mean")]
    return {
        f"{name}_mean": float((vector / len(vector)).sum()),  # divided first: a sum of large numbers overflows
        f"{name}_std": _deviation(vector),
        f"{name}_min": float(vector.min()),
        f"{name}_max": float(vector.max()),
    }


def _deviation(vector: Vector) -> float:
    """The standard deviation; scaled by a power of two, which costs no digit, so that no square leaves the range."""
    exponent = math.frexp(np.abs(vector).max())[1]
    return math.ldexp(math.sqrt(component_statistics(np.ldexp(vector, -exponent)).variance), exponent)


def custom(run: Run, step: int | None, fields: Mapping[str, float]) -> None:
    """Log what plug-ins measured."""
    if fields:
        run.custom_values(step, {label_value(name): value for name, value in fields.items()})


def execution(run: Run, circuit: Any, amounts: Mapping[str, Any], backend_info: Any, status: Any) -> None:
    """Log one execution; see `QuantumMonitor.log_circuit_execution`.

    Args:
        run: the run it belongs to.
        circuit: a description or a circuit object; None if unknown.
        amounts: ``execution_time``, ``queue_time``, ``cost`` and ``shots``.
        backend_info: where it was executed.
        status: how it ended.
    """
    backend = usable(_backend_name, backend_info, "backend_info") or "unknown"
    fields: dict[str, float] = {}
    for name, value in amounts.items():
        # A plain float is the common case. Spelled out, because between the steps of a real training every function
        # that runs has to be fetched from memory first.
        plain = type(value) is float and 0.0 <= value < math.inf and name != "shots"
        number = value if plain else usable(_count if name == "shots" else _amount, value, name)
        if number is not None:
            fields[name] = number
    if not fields.get("queue_time") and not run.queues_known(backend):
        fields.pop("queue_time", None)
    currency = "USD" if type(backend_info) is str else usable(_currency, backend_info, "backend_info") or "USD"
    if not fields.get("cost") and not run.costs_known(backend, currency):
        fields.pop("cost", None)
    if circuit is not None:
        fields.update(facts_of(circuit))
        if plugins.CIRCUIT:
            custom(run, None, plugins.evaluate("circuit", circuit))
    outcome = _STATUSES.get(status) if type(status) is str else None
    if outcome is None:
        outcome = _STATUSES.get(label_value(status).lower())
    if outcome is None:
        word = label_value(status)
        FAULTS.rejected("status", f"status is {word!r}: say success, failed or cancelled; counted as failed")
        outcome = "failed"
    run.execution(fields, backend=backend, status=outcome, currency=currency, cost_kind="reported")


def _known_label(run: Run, backend: str) -> str:
    """The label that the run has for a backend: providers write ``Forte 1``, and ``Forte-1`` at the end of an ARN."""
    if backend in run.circuits:
        return backend
    alike = [known for known in run.circuits if _plain(known) == _plain(backend)]
    return alike[0] if len(alike) == 1 else backend


def _plain(backend: str) -> str:
    return backend.rsplit("/", 1)[-1].replace(" ", "-").lower()


def bill(run: Run, cost: Any, backend_info: Any, currency: Any, estimated: Any) -> None:
    """Log what a provider has billed; see `QuantumMonitor.log_bill`."""
    backend = usable(_backend_name, backend_info, "backend_info") or "unknown"
    backend = _known_label(run, backend)
    run.bill(_amount(cost, "cost"), backend, label_value(currency), usable(_amount, estimated, "estimated"))


def _backend_name(info: Any, _: str) -> str:
    """The label of a backend: its own name, or the ``name`` of a mapping or object; empty if it has none."""
    if isinstance(info, Mapping):
        info = next((info[key] for key in ("name", "backend_name", "backend") if info.get(key)), "")
    if not isinstance(info, str):
        name = getattr(info, "name", None)
        info = name() if callable(name) else name if name is not None else type(info).__name__
    return label_value(info)


def _currency(info: Any, _: str) -> str:
    return label_value(info.get("currency", "USD")) if isinstance(info, Mapping) else "USD"


def backend_fields(values: Mapping[str, Any], error_rates: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Fields and error rates of a backend's status, without what is unknown or unusable."""
    readers: dict[str, Callable[[Any, str], float]] = {
        "t1": _median,
        "t2": _median,
        "calibration_time": _timestamp,
        "utilization": _ratio,
        "up": lambda up, _: float(bool(up)),
    }
    fields = {name: usable(readers.get(name, _amount), value, name) for name, value in values.items()}
    rates = usable(entries, error_rates, "error_rates") or []
    ratios = {label_value(operation): usable(_ratio, rate, "error_rates") for operation, rate in rates}
    return (
        {name: value for name, value in fields.items() if value is not None},
        {operation: ratio for operation, ratio in ratios.items() if ratio is not None},
    )


def _amount(value: Any, name: str) -> float:
    number = to_float(value, name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is {number}: hand over a finite number of at least 0")
    return number


def _count(value: Any, name: str) -> float:
    number = _amount(value, name)
    if number != int(number) or number > STEP_LIMIT:
        raise ValueError(f"{name} is {number}: hand over a whole number of at most 2**53")
    return number


def _ratio(value: Any, name: str) -> float:
    number = to_float(value, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} is {number}: hand over a ratio from 0 to 1")
    return number


def _median(value: Any, name: str) -> float:
    vector = to_reals(value, name)
    return _amount(float(np.nanmedian(vector)) if np.isfinite(vector).any() else math.nan, name)


def _timestamp(value: Any, name: str) -> float:
    return value.timestamp() if isinstance(value, datetime) else _amount(value, name)
